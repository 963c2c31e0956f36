/** Finds the artifact that a reference means, and seals it. */
import { errno, toWorkspaceError, WorkspaceError } from '../errors.ts'
import type { Emit } from '../events.ts'
import type { Identity } from '../identity.ts'
import { onAllAvailable, type StoreOpener } from '../stores/open.ts'
import type { ArtifactStore, EntryPath, StoreEntry } from '../stores/store.ts'
import { checkName } from '../volume/layout.ts'
import { addEntry, newestArtifact, outputPath, readEntry, sealDocument, type StoredEntry } from './entry.ts'
import { uriOf, type Reference } from './reference.ts'

export interface Located {
  uri: string
  store: ArtifactStore
  stored: StoredEntry
}

/** Who asks, where to look, and of which run a reference is that names none ('' for this one). */
export interface Asking {
  stores: readonly StoreOpener[]
  identity: Identity
  run: string
  emit: Emit
}

/** What one store has of a reference. */
interface Found extends Located {
  path: EntryPath
  entry: StoreEntry
  newest: StoreEntry
}

/**
 * The artifact that `reference` means: by its digest where it is pinned, else the newest one; from there on its
 * task does not replace it any more. Where nothing is stored under this name: where it was looked for.
 * @throws WorkspaceError USAGE for a uri of another store, DIGEST_MISMATCH where the pinned digest is not there,
 *   RUN_NOT_FOUND
 */
export async function locate(
  reference: Reference,
  asking: Asking,
): Promise<Located | { soughtAs: string[]; stored: undefined }> {
  const soughtAs: string[] = []
  const found = await lookUp(reference, asking, soughtAs)
  if (!found) return { soughtAs, stored: undefined }
  const { uri, store, path, entry, newest, stored } = found
  // An older version has been replaced already: nothing is left to seal.
  if (entry.name !== newest.name) return { uri, store, stored }
  const sealed = await sealNewest(found, asking)
  if (reference.digest) return { uri, store, stored }
  const current = sealed === entry.name ? stored : await readEntry(store, path, sealed)
  asking.emit({ event: 'artifact-unpinned', uri, digest: current.digest })
  return { uri, store, stored: current }
}

/** Of several stores that have it, the one that got it last: a retry may have had to fall back. */
async function lookUp(reference: Reference, asking: Asking, soughtAs: string[]): Promise<Found | undefined> {
  const { stores, run, emit } = asking
  const places: string[] = []
  const refused: WorkspaceError[] = []
  let knowsRun = reference.runId !== undefined || run === ''
  const look = async (store: ArtifactStore): Promise<Found | undefined> => {
    places.push(store.place)
    if (reference.place !== undefined && reference.place !== store.place) return undefined
    const runId = reference.runId ?? (await runIdIn(store, asking))
    if (runId === undefined) return undefined
    knowsRun = true
    soughtAs.push(uriOf({ place: store.place, runId, task: reference.task, output: reference.output }))
    return findIn(store, runId, reference).catch((error: unknown) => {
      if (toWorkspaceError(error).code !== 'DIGEST_MISMATCH' || stores.length === 1) throw error
      refused.push(toWorkspaceError(error))
      return undefined
    })
  }
  const found = (await onAllAvailable(stores, emit, look)).filter((one) => one !== undefined)
  if (reference.place !== undefined && !places.includes(reference.place)) throw elsewhere(reference, places)
  if (!knowsRun) throw unknownRun(run, asking.identity)
  if (found.length === 0 && refused[0]) throw refused[0]
  return found.reduce<Found | undefined>(
    (best, one) => (best && best.stored.created >= one.stored.created ? best : one),
    undefined,
  )
}

async function findIn(store: ArtifactStore, runId: string, reference: Reference): Promise<Found | undefined> {
  const { task, output, digest } = reference
  const uri = uriOf({ place: store.place, runId, task, output })
  const path = outputPath({ runId, task, output })
  const entries = await store.entries(path)
  const newest = newestArtifact(entries)
  if (!newest) return undefined
  if (!digest)
    return { uri, store, path, newest, entry: newest, stored: await readEntry(store, path, newest.name) }
  const digests: string[] = []
  for (const entry of entries.toReversed()) {
    if (entry.kind !== 'artifact') continue
    const stored = await readEntry(store, path, entry.name)
    if (stored.digest === digest) return { uri, store, path, newest, entry, stored }
    digests.push(stored.digest)
  }
  throw new WorkspaceError('DIGEST_MISMATCH', `${uri} is not what it was when its digest was taken`, {
    expected: digest,
    found: digests.join(', '),
    hint: 'take the digest from the run that you mean, or leave it out for the newest',
  })
}

/**
 * The newest artifact of an output, after which it is not replaced any more without `overwrite`. Where a
 * replacement takes the seal's name first, that replacement is the newest. A seal in an epoch that was superseded
 * by then seals nothing, so it is made again in the new one. @returns its name
 */
async function sealNewest({ store, path, newest, uri }: Found, { identity, emit }: Asking): Promise<string> {
  let current = newest
  try {
    for (let epoch = -1; epoch !== current.epoch;) {
      epoch = current.epoch
      const seal = await addEntry(store, path, epoch, async (entries) => {
        current = newestArtifact(entries) ?? newest
        const isOpen = current === entries.at(-1) && current.epoch === epoch
        return isOpen ? { kind: 'seal', document: sealDocument(identity) } : undefined
      })
      if (seal) current = newestArtifact(await store.entries(path)) ?? current
    }
  } catch (error) {
    if (!['EROFS', 'EACCES', 'EPERM'].includes(errno(error) ?? '')) throw error
    const detail = `${errno(error)}: what is retrieved may be replaced by a retry of its task`
    emit({ event: 'warning', about: `${uri} cannot be sealed`, detail })
  }
  return current.name
}

/**
 * The run id for the parameter `run`: this run where it is empty, else a run id, the name of a run in this
 * namespace, or `<namespace>.<name>`. Undefined where this store knows no such run.
 */
async function runIdIn(store: ArtifactStore, { run, identity }: Asking): Promise<string | undefined> {
  if (run === '') return identity.run.uid
  checkName(run, 'run')
  // Either may be missing: the first of an archived run, the second of one that stored nothing.
  for (const folder of ['pipelines', 'artifacts'])
    if ((await store.names([folder, run])).length > 0) return run
  const dot = run.indexOf('.')
  const names = [[identity.run.namespace, run] as const]
  if (dot > 0) names.push([run.slice(0, dot), run.slice(dot + 1)])
  for (const [namespace, name] of names) {
    const found = await store.findRun(namespace, name)
    if (found !== undefined) return checkName(found, 'run id')
  }
  return undefined
}

function unknownRun(run: string, identity: Identity): WorkspaceError {
  return new WorkspaceError('RUN_NOT_FOUND', `there is no run ${run}`, {
    expected: `a run id, the name of a run in ${identity.run.namespace}, or <namespace>.<name>`,
    found: 'no run of that name where artifacts are kept',
    hint: 'look in by-name/ on the volume',
  })
}

function elsewhere(reference: Reference, places: readonly string[]): WorkspaceError {
  return new WorkspaceError(
    'USAGE',
    `the artifact is kept in ${reference.place}, which this step does not use`,
    {
      expected: places.join(' or ') || 'a store that can be reached',
      found: reference.place ?? '',
      hint: 'bind the claim, or name the strategy, that this artifact was stored with',
    },
  )
}
