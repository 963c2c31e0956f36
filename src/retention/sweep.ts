/** Moves blobs that nothing refers to into trash, and purges them from there. */
import { basename, dirname, join } from 'node:path'
import { ignoreMissing } from '../errors.ts'
import type { Emit } from '../events.ts'
import * as fs from '../platform/fs.ts'
import { shortId } from '../platform/random.ts'
import { BATCH, contentOf } from '../stores/bring-back.ts'
import type { Digest } from '../stores/store.ts'
import type { Volume } from '../volume/volume.ts'
import { mark } from './mark.ts'
import { makePlace } from '../volume/trash.ts'

/**
 * Moves blobs into a batch in trash, then marks again: whatever was published while they were moved gets its blobs
 * back. Killed in between, that is left to the next mark, or to whoever misses a blob.
 * @returns how many blobs went
 */
export async function sweepBlobs(
  volume: Volume,
  blobs: readonly Digest[],
  why: string,
  emit: Emit,
): Promise<number> {
  const store = dirname(volume.layout.blob('any'))
  const content = contentOf(await makePlace(volume, BATCH + shortId(), store, why))
  await fs.mkdir(content)
  let swept = 0
  try {
    for (const digest of blobs) if (await moveInto(content, volume.layout.blob(digest))) swept++
  } finally {
    await fs.syncFolder(content)
    await fs.syncFolder(store)
    for (const problem of (await mark(volume)).problems) emit({ event: 'retention-blocked', ...problem })
  }
  return swept
}

/** @returns false where another collector took it first */
async function moveInto(folder: string, path: string): Promise<boolean> {
  try {
    await fs.rename(path, join(folder, basename(path)))
    return true
  } catch (error) {
    ignoreMissing(error)
    return false
  }
}

/**
 * Purges a batch: the blobs that were seen in it, and its folders if nothing was added since. What was brought back
 * is a name of its own in the store, and stays.
 */
export async function purgeBatch(batch: string, blobs: readonly Digest[]): Promise<void> {
  const content = contentOf(batch)
  for (const digest of blobs)
    await fs.unlink(join(content, digest.slice('sha256:'.length))).catch(ignoreMissing)
  await fs.removeFolder(content)
  if ((await fs.list(content)).length > 0) return
  await fs.unlink(join(batch, 'trashed.json')).catch(ignoreMissing)
  await fs.removeFolder(batch)
}
