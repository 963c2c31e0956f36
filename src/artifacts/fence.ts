/** Outputs that are stored under a lock: the protocol of volume/fence.ts, for entries of any store. */
import { WorkspaceError } from '../errors.ts'
import type { Identity } from '../identity.ts'
import type { ArtifactStore, EntryPath, StoreEntry } from '../stores/store.ts'
import { requireNewest, type Fence } from '../volume/fence.ts'
import { newestArtifact, openedDocument, sealDocument } from './entry.ts'

/**
 * Makes the epoch of `fence` the newest one at a path, once, by repeating what is there: the artifact, and that it is
 * sealed. What came in a lower epoch while that was written is repeated after it.
 * @throws WorkspaceError STALE_LOCK
 */
export async function openEpoch(
  store: ArtifactStore,
  path: EntryPath,
  fence: Fence,
  identity: Identity,
): Promise<void> {
  await fence.check()
  const found = await store.entries(path)
  requireNewest(found, [store.place, ...path].join('/'), fence)
  if (found.at(-1)?.epoch === fence.epoch) return
  const n = await repeat(store, path, found, { epoch: fence.epoch, n: 0 }, identity)
  const lower = (await store.entries(path)).filter(({ epoch }) => epoch < fence.epoch)
  if (lower.at(-1)?.name !== found.at(-1)?.name)
    await repeat(store, path, lower, { epoch: fence.epoch, n }, identity)
}

/**
 * Publishes again what `entries` say. A name that is taken was taken by another process of the same hold, or by a
 * reader that has sealed what is below it: then the rest is left.
 * @returns the next free number
 */
async function repeat(
  store: ArtifactStore,
  path: EntryPath,
  entries: readonly StoreEntry[],
  { epoch, n }: { epoch: number; n: number },
  identity: Identity,
): Promise<number> {
  const artifact = newestArtifact(entries)
  const document = artifact ? (await store.read(path, artifact.name)).toString() : openedDocument(identity)
  const published = await store.publish(path, `${epoch}.${n}`, artifact ? 'artifact' : 'seal', document)
  if (!published || !artifact || artifact === entries.at(-1)) return n + 1
  await store.publish(path, `${epoch}.${n + 1}`, 'seal', sealDocument(identity))
  return n + 2
}

/** @throws WorkspaceError ARTIFACT_EXISTS where what is stored without a fence would never be seen */
export function requireUnfenced(entries: readonly StoreEntry[], uri: string): void {
  const newest = entries.at(-1)
  if (!newest || newest.epoch === 0) return
  throw new WorkspaceError('ARTIFACT_EXISTS', `${uri} was stored under a lock, with a fence`, {
    expected: 'a fence of a later epoch',
    found: `none, and the entry ${newest.name}`,
    hint: 'acquire the lock and set fence to <lock>@<epoch>: without it nobody would see what is stored',
  })
}
