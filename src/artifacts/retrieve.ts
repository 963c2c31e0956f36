/** Retrieves artifacts into a folder, verifying every byte. */
import { dirname } from 'node:path'
import { errno, WorkspaceError } from '../errors.ts'
import type { Emit } from '../events.ts'
import type { Identity } from '../identity.ts'
import * as fs from '../platform/fs.ts'
import type { BlobStore, Digest } from '../stores/store.ts'
import { volumeStore } from '../stores/volume-store.ts'
import type { Volume } from '../volume/volume.ts'
import { conflict } from './compare-target.ts'
import { writeIntoFolder } from './existing-folder.ts'
import { locate, resolveRun, type Located } from './locate.ts'
import { readArtifact } from './manifest.ts'
import { writeNewFolder } from './new-folder.ts'
import { parseReference } from './reference.ts'
import { matching, merge, ofType, type Selected } from './select.ts'

export interface RetrieveRequest {
  volume: Volume
  identity: Identity
  /** `<task>/<output>` or uris, each with or without `@sha256:…`. */
  artifacts: readonly string[]
  /** For the short form: a run id or name; '' for this run. */
  run: string
  /** Globs on paths inside the artifacts; none for everything. */
  files: readonly string[]
  /** The absolute path of a folder, which need not exist. */
  target: string
  /** Artifacts that do not exist are skipped. */
  optional: boolean
  emit: Emit
  signal: AbortSignal
}

export interface Retrieved {
  artifacts: { uri: string; digest: Digest }[]
  files: number
}

/** An artifact with what is wanted of it. */
interface Chosen {
  uri: string
  digest: Digest
  selected: Selected[]
}

/**
 * Writes the files of one or more artifacts into `target`; afterwards their tasks cannot replace them any more.
 * Where it fails, the target is as it was.
 * @throws WorkspaceError ARTIFACT_NOT_FOUND, DIGEST_MISMATCH, TARGET_CONFLICT, UNSAFE_PATH, RUN_NOT_FOUND
 */
export async function retrieveArtifacts(request: RetrieveRequest): Promise<Retrieved> {
  const { volume, identity, target, emit } = request
  const store = volumeStore(volume.layout)
  const references = request.artifacts.map(parseReference)
  const runId = await resolveRun(request.run, volume.layout, identity)
  const chosen: Chosen[] = []
  for (const reference of references) {
    const one = await choose(await locate(reference, { volume, identity, runId, emit }), store, request)
    if (one) chosen.push(one)
  }
  if (chosen.length === 0) return { artifacts: [], files: 0 }
  const selected = merge(chosen.map((one) => one.selected))
  if (selected.length === 0 && request.files.length > 0) throw noMatch(request.files, chosen)
  await write(target, selected, store, request.signal)
  for (const one of chosen) emit({ event: 'artifact-retrieved', path: target, ...summary(one) })
  const artifacts = chosen.map(({ uri, digest }) => ({ uri, digest }))
  return { artifacts, files: ofType(selected, 'file').length }
}

async function choose(
  { uri, stored }: Located,
  store: BlobStore,
  { files, optional, emit }: RetrieveRequest,
): Promise<Chosen | undefined> {
  if (stored)
    return { uri, digest: stored.digest, selected: matching(await readArtifact(store, stored), files) }
  if (!optional) {
    throw new WorkspaceError('ARTIFACT_NOT_FOUND', `there is no artifact ${uri}`, {
      expected: 'an output that a task has stored',
      found: 'none of that run, task and name',
      hint: 'look whether its task has run and what it called its output; set optional to true if it may be missing',
    })
  }
  emit({ event: 'artifact-skipped', uri, why: 'it was not stored, and it is optional' })
  return undefined
}

async function write(
  target: string,
  selected: Selected[],
  store: BlobStore,
  signal: AbortSignal,
): Promise<void> {
  const there = await existing(target)
  if (there === undefined) {
    await fs.mkdirp(dirname(target))
    if (await writeNewFolder(target, selected, store, signal)) return
  }
  // Either it was there, or somebody made it while this was written.
  await writeIntoFolder(there ?? (await existing(target)) ?? target, selected, store, signal)
}

/** The real path of the target folder, or undefined where there is nothing. */
async function existing(target: string): Promise<string | undefined> {
  try {
    if ((await fs.stat(target)).isDirectory()) return await fs.realpath(target)
  } catch (error) {
    if (errno(error) !== 'ENOENT')
      throw errno(error) === 'ENOTDIR' ? conflict(target, ['(not a folder)']) : error
    if (!(await isDangling(target))) return undefined
  }
  throw conflict(target, ['the target itself (not a folder)'])
}

async function isDangling(target: string): Promise<boolean> {
  return fs.lstat(target).then(
    () => true,
    () => false,
  )
}

function summary({ uri, digest, selected }: Chosen): {
  uri: string
  digest: Digest
  files: number
  bytes: number
} {
  const files = ofType(selected, 'file')
  return { uri, digest, files: files.length, bytes: files.reduce((sum, { entry }) => sum + entry.size, 0) }
}

function noMatch(globs: readonly string[], chosen: readonly Chosen[]): WorkspaceError {
  return new WorkspaceError(
    'ARTIFACT_NOT_FOUND',
    `no file of ${chosen.map(({ uri }) => uri).join(', ')} matches`,
    {
      expected: globs.join(', '),
      found: 'none',
      hint: 'globs match whole paths inside the artifact: "**/*.jar" finds jars at any depth',
    },
  )
}
