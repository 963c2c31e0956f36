/** Stores a file or folder as an artifact of this run and task. */
import { WorkspaceError } from '../errors.ts'
import type { Emit } from '../events.ts'
import type { Identity } from '../identity.ts'
import { onFirstAvailable, type StoreOpener } from '../stores/open.ts'
import { missingBlob } from '../stores/digest.ts'
import type { ArtifactStore, Digest, EntryPath, StoreEntry, Strategy } from '../stores/store.ts'
import { requireNewest, type Fence } from '../volume/fence.ts'
import { addEntry, indexJson, newestArtifact, outputPath, readEntry, UNFENCED } from './entry.ts'
import { openEpoch, requireUnfenced } from './fence.ts'
import { CONTENT_ANNOTATIONS } from './format.ts'
import { readManifest } from './manifest.ts'
import { uriOf } from './reference.ts'
import { storeContent, type StoredContent } from './store-content.ts'

export interface StoreRequest {
  /** Where to store it, in the order in which they are tried. */
  stores: readonly StoreOpener[]
  identity: Identity
  /** The absolute path of a folder or file. */
  source: string
  output: string
  /** Replaces other content, whoever stored it and whoever has retrieved it. */
  overwrite: boolean
  /** The hold under which it is stored. With one there is one store: several would each have their own epochs. */
  fence?: Fence | undefined
  emit: Emit
  signal: AbortSignal
}

export interface StoredArtifact {
  uri: string
  digest: Digest
  /** The store that took it. */
  strategy: Strategy
  files: number
  /** Bytes of the files. */
  bytes: number
}

/**
 * Stores `source` and publishes it under `<run>/<task>/<output>`. Content that is there already costs no new
 * bytes; the same content under the same name is no change at all.
 * @throws WorkspaceError ARTIFACT_EXISTS, SOURCE_CHANGED, SOURCE_NOT_FOUND, UNSAFE_PATH, UNSUPPORTED_FILE:
 *   nothing is published then; STALE_LOCK where the fence's hold is over: nobody sees what was published then
 */
export async function storeArtifact(request: StoreRequest): Promise<StoredArtifact> {
  const { identity, output, fence, stores } = request
  if (fence && stores.length > 1) throw fenceInOneStore(fence, stores)
  const name = { runId: identity.run.uid, task: identity.task, output }
  const path = outputPath(name)
  return onFirstAvailable(stores, request.emit, (store) =>
    storeIn(store, path, uriOf({ place: store.place, ...name }), request),
  )
}

async function storeIn(
  store: ArtifactStore,
  path: EntryPath,
  uri: string,
  request: StoreRequest,
): Promise<StoredArtifact> {
  const { identity, source, output, fence, signal, emit } = request
  await fence?.check()
  const stored = await storeContent(store.blobs, source, signal)
  const { manifest, content, newBytes } = stored
  const counts = { files: content.files, bytes: content.bytes }
  let unchanged: Digest | undefined
  const requireSeen = (entries: readonly StoreEntry[]): void =>
    fence ? requireNewest(entries, uri, fence) : requireUnfenced(entries, uri)
  if (fence) await openEpoch(store, path, fence, identity)
  await addEntry(store, path, fence?.epoch ?? UNFENCED, async (entries) => {
    signal.throwIfAborted()
    unchanged = await currentIfEqual(request, store, path, entries, uri, content.digest)
    if (!unchanged) requireSeen(entries)
    return unchanged ? undefined : { kind: 'artifact', document: indexJson(manifest, output, identity) }
  })
  const digest = unchanged ?? manifest.digest
  if (unchanged) emit({ event: 'artifact-unchanged', uri, digest })
  else {
    requireSeen(await store.entries(path))
    await keepReused(store, stored, request)
    await store.nameRun(identity.run)
    emit({ event: 'artifact-stored', uri, digest, ...counts, newBytes })
  }
  return { uri, digest, strategy: store.strategy, ...counts }
}

/**
 * What was there already may have been on its way to trash while nothing referred to it. From here on something
 * does, and no sweep takes it: so each is looked at once more, and stored again where it is gone.
 */
export async function keepReused(
  { blobs: store }: ArtifactStore,
  { blobs }: StoredContent,
  { source, signal }: Pick<StoreRequest, 'source' | 'signal'>,
): Promise<void> {
  const reused = blobs.filter(({ isNew }) => !isNew)
  const gone = async (): Promise<Digest | undefined> => {
    for (const { digest } of reused) if ((await store.size(digest)) === undefined) return digest
    return undefined
  }
  if ((await gone()) === undefined) return
  await storeContent(store, source, signal)
  const missing = await gone()
  if (missing !== undefined) throw missingBlob(missing, store.place)
}

/**
 * The digest of the newest entry where it holds the same content; undefined where it may be replaced, or there
 * is none. @throws WorkspaceError ARTIFACT_EXISTS where it may not be replaced
 */
async function currentIfEqual(
  { identity, overwrite }: StoreRequest,
  store: ArtifactStore,
  path: EntryPath,
  entries: readonly StoreEntry[],
  uri: string,
  contentDigest: Digest,
): Promise<Digest | undefined> {
  const newest = newestArtifact(entries)
  if (!newest) return undefined
  const stored = await readEntry(store, path, newest.name)
  const manifest = await readManifest(store.blobs, stored)
  const found = manifest.annotations[CONTENT_ANNOTATIONS.contentDigest] ?? 'none'
  if (found === contentDigest) return stored.digest
  const sealed = entries.at(-1) !== newest
  const isRetry = stored.podUid !== identity.pod.uid
  if (overwrite || (isRetry && !sealed)) return undefined
  throw new WorkspaceError('ARTIFACT_EXISTS', `${uri} was stored with other content, ${because(sealed)}`, {
    expected: `content ${found}`,
    found: `content ${contentDigest}`,
    hint: 'store it under another output name, or set overwrite to true',
  })
}

function because(sealed: boolean): string {
  return sealed ? 'and somebody has retrieved that' : 'and by this same pod'
}

const fenceInOneStore = (fence: Fence, stores: readonly StoreOpener[]): WorkspaceError =>
  new WorkspaceError('USAGE', `the fence ${fence.name} needs one strategy, not several`, {
    expected: 'one strategy',
    found: stores.map(({ strategy }) => strategy).join(', '),
    hint: 'name one in the parameter strategy: a fence in one store does not reach what falls back to another',
  })
