/** Finds the artifact that a reference means, and seals it. */
import { basename, join } from 'node:path'
import { errno, WorkspaceError } from '../errors.ts'
import type { Emit } from '../events.ts'
import type { Identity } from '../identity.ts'
import * as fs from '../platform/fs.ts'
import { checkName, type Layout } from '../volume/layout.ts'
import { listEntries, publishEntry, type Entry } from '../volume/publish.ts'
import type { Volume } from '../volume/volume.ts'
import { newestArtifact, publishSeal, readEntry, type StoredEntry } from './entry.ts'
import { uriOf, type Reference } from './reference.ts'

export interface Located {
  uri: string
  /** Undefined where nothing is stored under this name. */
  stored: StoredEntry | undefined
}

/** Who asks, and for which run where a reference names none. */
export interface Asking {
  volume: Volume
  identity: Identity
  runId: string
  emit: Emit
}

/**
 * The artifact that `reference` means: by its digest where it is pinned, else the newest one.
 * @throws WorkspaceError USAGE for another volume's uri, DIGEST_MISMATCH where the pinned digest is not there
 */
export async function locate(reference: Reference, asking: Asking): Promise<Located> {
  const { volume, emit } = asking
  const { volumeId = volume.id, runId = asking.runId, task, output } = reference
  const uri = uriOf({ volumeId, runId, task, output })
  if (volumeId !== volume.id) {
    throw new WorkspaceError('USAGE', `${uri} is on another volume`, {
      expected: `volume ${volume.id}`,
      found: `volume ${volumeId}`,
      hint: 'bind the claim that this artifact was stored on',
    })
  }
  const folder = volume.layout.artifact(runId, task, output)
  const wanted = reference.digest ? await pinned(folder, reference.digest, uri) : undefined
  const newest = newestArtifact(await listEntries(folder))
  if (!newest) return { uri, stored: undefined }
  // An older version has been replaced already: nothing is left to seal.
  if (wanted && wanted.name !== newest.name) return { uri, stored: wanted.stored }
  const sealed = await sealNewest(folder, newest, asking)
  if (wanted) return { uri, stored: wanted.stored }
  const stored = await readEntry(join(folder, sealed.name))
  emit({ event: 'artifact-unpinned', uri, digest: stored.digest })
  return { uri, stored }
}

/**
 * The newest artifact of an output, after which it is not replaced any more without `overwrite`. Where a
 * replacement takes the seal's name first, that replacement is the newest.
 */
async function sealNewest(folder: string, seen: Entry, { identity, emit }: Asking): Promise<Entry> {
  let newest = seen
  try {
    await publishEntry(folder, seen.epoch, async (entries, path) => {
      newest = newestArtifact(entries) ?? seen
      if (newest !== entries.at(-1)) return undefined
      return publishSeal(path, identity)
    })
  } catch (error) {
    if (!['EROFS', 'EACCES', 'EPERM'].includes(errno(error) ?? '')) throw error
    const detail = `${errno(error)}: what is retrieved may be replaced by a retry of its task`
    emit({ event: 'warning', about: `${folder} cannot be sealed`, detail })
  }
  return newest
}

/** The entry with this digest; undefined where there is no entry at all. */
async function pinned(
  folder: string,
  digest: string,
  uri: string,
): Promise<{ name: string; stored: StoredEntry } | undefined> {
  const digests: string[] = []
  for (const entry of (await listEntries(folder)).toReversed()) {
    if (!entry.isFolder) continue
    const stored = await readEntry(join(folder, entry.name))
    if (stored.digest === digest) return { name: entry.name, stored }
    digests.push(stored.digest)
  }
  if (digests.length === 0) return undefined
  throw new WorkspaceError('DIGEST_MISMATCH', `${uri} is not what it was when its digest was taken`, {
    expected: digest,
    found: digests.join(', '),
    hint: 'take the digest from the run that you mean, or leave it out for the newest',
  })
}

/**
 * The run id for the parameter `run`: this run where it is empty, else a run id, the name of a run in this
 * namespace, or `<namespace>.<name>`. @throws WorkspaceError RUN_NOT_FOUND
 */
export async function resolveRun(run: string, layout: Layout, identity: Identity): Promise<string> {
  if (run === '') return identity.run.uid
  checkName(run, 'run')
  // Either may be missing: the first of an archived run, the second of one that stored nothing.
  if (await anyListed(layout.run(run), join(layout.artifacts, run))) return run
  const byName = [layout.byName(identity.run.namespace, run)]
  const dot = run.indexOf('.')
  if (dot > 0) byName.push(layout.byName(run.slice(0, dot), run.slice(dot + 1)))
  for (const link of byName) {
    const target = await fs.readlink(link).catch(() => undefined)
    if (target !== undefined) return checkName(basename(target), 'run id')
  }
  throw new WorkspaceError('RUN_NOT_FOUND', `there is no run ${run} on the volume`, {
    expected: `a run id, the name of a run in ${identity.run.namespace}, or <namespace>.<name>`,
    hint: 'look in by-name/ on the volume',
  })
}

async function anyListed(...folders: string[]): Promise<boolean> {
  for (const folder of folders) if ((await fs.list(folder)).length > 0) return true
  return false
}
