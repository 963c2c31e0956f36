/** Saves a folder for later runs. */
import {
  addEntry,
  indexJson,
  keepReused,
  storeContent,
  UNFENCED,
  type StoredContent,
  type StoredEntry,
} from '../artifacts/index.ts'
import { errno, WorkspaceError } from '../errors.ts'
import type { Emit } from '../events.ts'
import type { Identity } from '../identity.ts'
import type { ArtifactStore, Digest, EntryPath } from '../stores/store.ts'
import type { Layout } from '../volume/layout.ts'
import { evictCache, type Blobs } from './evict.ts'
import { keyPath } from './path.ts'
import { isDamage, newestOf, readWhole } from './whole.ts'

export interface SaveRequest {
  store: ArtifactStore
  /** The volume, where that is the store: only there is `maxBytes` kept. */
  layout: Layout | undefined
  scope: string
  key: string
  /** The absolute path of a folder or file. */
  source: string
  /** What all entries of the volume may take, in bytes. */
  maxBytes: number
  identity: Identity
  emit: Emit
  signal: AbortSignal
}

export interface Saved {
  digest: Digest
  files: number
  /** Bytes of the files. */
  bytes: number
}

/** Retention and evictions take whole keys away, at any time, and with them the folder that is published into. */
const TRIES = 3

/**
 * Saves `source` under a key, unless it has a whole entry already: what a key stands for never changes. Nothing is
 * saved of a folder that has no files, and of one that is larger than the whole cache may be.
 * @returns undefined where nothing was saved; the log says why
 * @throws WorkspaceError SOURCE_CHANGED, UNSAFE_PATH, UNSUPPORTED_FILE; nothing is published then
 */
export async function saveCache(request: SaveRequest): Promise<Saved | undefined> {
  const { store, scope, key, emit } = request
  const path = keyPath(scope, key)
  const skip = (why: string): undefined => {
    emit({ event: 'cache-skipped', scope, key, why })
    return undefined
  }
  if (await wholeEntry(store, path)) return skip('it is saved already')
  const stored = await contentOf(request)
  if (!stored || stored.content.files === 0) return skip(`there are no files in ${request.source}`)
  const blobs: Blobs = new Map(stored.blobs.map(({ digest, size }) => [digest, size]))
  const size = [...blobs.values()].reduce((sum, one) => sum + one, 0)
  if (request.layout && size > request.maxBytes)
    return skip(`its ${size} bytes are more than the ${request.maxBytes} of the whole cache`)
  await makeRoom(request, path, blobs)
  if (!(await publish(request, path, stored))) return skip('somebody saved it meanwhile')
  await keepReused(store, stored, request)
  const saved = { digest: stored.manifest.digest, files: stored.content.files, bytes: stored.content.bytes }
  emit({ event: 'cache-saved', scope, key, ...saved, newBytes: stored.newBytes })
  return saved
}

/** The newest entry of a key where everything of it is there. */
async function wholeEntry(store: ArtifactStore, path: EntryPath): Promise<StoredEntry | undefined> {
  try {
    const newest = await newestOf(store, path)
    if (newest) await readWhole(store.blobs, newest)
    return newest
  } catch (error) {
    if (isDamage(error)) return undefined
    throw error
  }
}

/** Undefined where there is nothing at all. */
async function contentOf({ store, source, signal }: SaveRequest): Promise<StoredContent | undefined> {
  return storeContent(store.blobs, source, signal).catch((error: unknown) => {
    if (error instanceof WorkspaceError && error.code === 'SOURCE_NOT_FOUND') return undefined
    throw error
  })
}

async function makeRoom(request: SaveRequest, path: EntryPath, blobs: Blobs): Promise<void> {
  const { layout, ...rest } = request
  if (layout) await evictCache({ ...rest, layout, keep: { path, blobs } })
}

/**
 * @returns false where the key has a whole entry of other content by now. One of the same content, which a missing
 *   blob had made useless, is whole again by what was just stored.
 */
async function publish(
  { store, key, identity, signal }: SaveRequest,
  path: EntryPath,
  { manifest }: StoredContent,
): Promise<boolean> {
  const document = indexJson(manifest, key, identity)
  for (let tries = 1; ; tries++) {
    signal.throwIfAborted()
    try {
      let there: StoredEntry | undefined
      await addEntry(store, path, UNFENCED, async () => {
        there = await wholeEntry(store, path)
        return there ? undefined : { kind: 'artifact', document }
      })
      return !there || there.digest === manifest.digest
    } catch (error) {
      if (errno(error) !== 'ENOENT' || tries === TRIES) throw error
    }
  }
}
