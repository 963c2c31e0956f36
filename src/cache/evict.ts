/** Keeps the cache of a volume within a size: the least recently used keys go. */
import { join } from 'node:path'
import { inOrder, readManifest } from '../artifacts/index.ts'
import { ignoreMissing } from '../errors.ts'
import type { Emit } from '../events.ts'
import * as fs from '../platform/fs.ts'
import type { ArtifactStore, Digest, EntryPath } from '../stores/store.ts'
import { temporaryBeside } from '../volume/publish.ts'
import type { Layout } from '../volume/layout.ts'
import { CACHE, usesPath } from './path.ts'
import { lastUse } from './uses.ts'
import { isDamage, newestOf } from './whole.ts'

/** Sizes in bytes by digest. */
export type Blobs = ReadonlyMap<Digest, number>

export interface EvictRequest {
  store: ArtifactStore
  layout: Layout
  maxBytes: number
  /** A key that stays, and what it is about to consist of: room is made for that. */
  keep?: { path: EntryPath; blobs: Blobs }
  emit: Emit
  signal: AbortSignal
}

const LOOKS_AT_ONCE = 8

interface Cached {
  path: EntryPath
  blobs: Blobs
  /** In ms since the epoch: when it was saved or last restored. */
  usedMs: number
}

/**
 * Evicts keys of all scopes, the least recently used first, until what the rest consist of takes at most `maxBytes`;
 * a blob of several counts once. An evicted key is gone at once; who is restoring it goes on, since its blobs stay
 * until a sweep of the store. @returns how many keys went
 */
export async function evictCache({
  store,
  layout,
  maxBytes,
  keep,
  emit,
  signal,
}: EvictRequest): Promise<number> {
  const all = await cachedKeys(store, layout)
  const others = all.filter(({ path }) => path.join('/') !== keep?.path.join('/'))
  const kept = new Map<Digest, number>(keep?.blobs)
  let total = sum(kept.values())
  let evicted = 0
  for (const { path, blobs, usedMs } of others.sort((a, b) => b.usedMs - a.usedMs)) {
    signal.throwIfAborted()
    const added = [...blobs].filter(([digest]) => !kept.has(digest))
    const bytes = sum(added.map(([, size]) => size))
    // From the first that does not fit on all go: what is older is not worth more for being smaller.
    if (evicted === 0 && total + bytes <= maxBytes) {
      total += bytes
      for (const [digest, size] of added) kept.set(digest, size)
      continue
    }
    await removeKey(layout, path)
    evicted += 1
    emit({ event: 'cache-evicted', key: path.join('/'), bytes, lastUsed: new Date(usedMs).toISOString() })
  }
  return evicted
}

const sum = (sizes: Iterable<number>): number => [...sizes].reduce((total, size) => total + size, 0)

async function cachedKeys(store: ArtifactStore, layout: Layout): Promise<Cached[]> {
  const scopes = await folders(layout, CACHE)
  const paths = (await Promise.all(scopes.map((scope) => folders(layout, scope)))).flat()
  const look = async (path: EntryPath): Promise<Cached | undefined> => {
    await forgetOldUses(store, layout, path)
    return read(store, path)
  }
  const found: Cached[] = []
  for await (const cached of inOrder(paths, LOOKS_AT_ONCE, look)) if (cached) found.push(cached)
  return found
}

/** Names that begin with a dot are at work. */
async function folders(layout: Layout, path: EntryPath): Promise<EntryPath[]> {
  const entries = await fs.list(layout.entries(path))
  return entries.flatMap(({ name }) => (name.startsWith('.') ? [] : [[...path, name]]))
}

/** Undefined for a key without entries: somebody is about to save it, or has just evicted it. */
async function read(store: ArtifactStore, path: EntryPath): Promise<Cached | undefined> {
  const blobs = new Map<Digest, number>()
  let savedMs = 0
  try {
    const newest = await newestOf(store, path)
    if (!newest) return undefined
    const { digest, size, created } = newest
    savedMs = Date.parse(created) || 0
    const { config, layers } = await readManifest(store.blobs, { digest, size })
    for (const blob of [{ digest, size }, config, ...layers]) blobs.set(blob.digest, blob.size)
  } catch (error) {
    // What is damaged takes no room that is known of; it goes by its age.
    if (!isDamage(error)) throw error
  }
  return { path, blobs, usedMs: Math.max(savedMs, await lastUse(store, path)) }
}

/** Only the last use says anything. */
async function forgetOldUses(store: ArtifactStore, layout: Layout, path: EntryPath): Promise<void> {
  const uses = await store.entries(usesPath(path))
  for (const { name } of uses.slice(0, -1)) {
    await fs.unlink(join(layout.entries(usesPath(path)), name)).catch(ignoreMissing)
  }
}

/** By one rename, so that nobody sees half a key; who was killed after it leaves a temporary name. */
async function removeKey(layout: Layout, path: EntryPath): Promise<void> {
  const folder = layout.entries(path)
  const temporary = temporaryBeside(folder)
  // Another eviction may have been faster.
  await fs.rename(folder, temporary).catch(ignoreMissing)
  await fs.removeTree(temporary)
}
