/**
 * Swept blobs. A sweep moves blobs that nothing refers to into trash, a batch at a time, and it may meet a writer
 * that is about to refer to one of them. So what was swept stays in trash for a while, and whoever misses a blob
 * links it back: link(2) is exclusive, may be done again, and leaves the copy in trash for its purge.
 */
import { basename, dirname, join } from 'node:path'
import { errno, ignoreMissing } from '../errors.ts'
import * as fs from '../platform/fs.ts'
import type { Layout } from '../volume/layout.ts'
import { checkDigest } from './digest.ts'
import type { Digest } from './store.ts'

/** What the names of such batches in trash begin with. */
export const BATCH = 'blobs-'

/** The blobs of a batch, each under its name in the store. */
export const contentOf = (batch: string): string => join(batch, 'content')

/** The batches in trash, the newest days first. */
export async function listBatches(layout: Layout): Promise<string[]> {
  const batches: string[] = []
  for (const day of (await fs.list(layout.trash)).toReversed()) {
    if (!day.isDirectory()) continue
    const folder = join(layout.trash, day.name)
    for (const item of await fs.list(folder))
      if (item.isDirectory() && item.name.startsWith(BATCH)) batches.push(join(folder, item.name))
  }
  return batches
}

/** Links a swept blob back into the store. @returns whether the store has it now */
export async function bringBack(layout: Layout, digest: Digest): Promise<boolean> {
  const target = layout.blob(checkDigest(digest))
  const [folder, name] = [dirname(target), basename(target)]
  for (const batch of await listBatches(layout)) {
    // By listing: over NFS a name that was missed once stays missing for others' calls.
    if (!(await isListed(contentOf(batch), name))) continue
    try {
      await fs.link(join(contentOf(batch), name), target)
    } catch (error) {
      if (errno(error) === 'EEXIST') return true
      // A purge came first.
      ignoreMissing(error)
      continue
    }
    await fs.syncFolder(folder)
    return true
  }
  // Somebody else may have brought it back, and the purge have removed the copy since.
  return isListed(folder, name)
}

async function isListed(folder: string, name: string): Promise<boolean> {
  return (await fs.list(folder)).some((item) => item.name === name)
}
