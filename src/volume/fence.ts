/**
 * Publishing under a lock, so that a holder that was superseded while it stood still changes nothing that readers
 * see. The pointer is a folder of entries `<epoch>.<n>` (publish.ts): the epoch of a hold only ever grows, readers
 * take the highest entry, and the first act of a new epoch is to repeat what it found under its own number. From
 * then on nobody reads what lower epochs still add.
 */
import { join } from 'node:path'
import { WorkspaceError } from '../errors.ts'
import * as fs from '../platform/fs.ts'
import { listEntries, publishEntry, publishFile, type Entry } from './publish.ts'

/** A hold of a lock, as far as it fences: src/locks makes one. */
export interface Fence {
  /** `<lock>@<epoch>` */
  readonly name: string
  readonly epoch: number
  /** @throws WorkspaceError STALE_LOCK where the hold is over. It may be over as soon as this has answered. */
  check(): Promise<void>
}

/** What a pointer points to; undefined where it never did. For everybody, with or without a fence. */
export async function readPointer(folder: string): Promise<Buffer | undefined> {
  const newest = (await listEntries(folder)).at(-1)
  return newest && readEntry(folder, newest)
}

/**
 * As `readPointer`, for the holder that is about to change what it reads: from here on nothing that holders of lower
 * epochs publish is seen, by it or by anybody.
 * @throws WorkspaceError STALE_LOCK where the hold is over
 */
export async function readFenced(folder: string, fence: Fence): Promise<Buffer | undefined> {
  await openEpoch(folder, fence)
  const entries = await listEntries(folder)
  requireNewest(entries, folder, fence)
  return readEntry(folder, entries.at(-1)!)
}

/**
 * Points `folder` to `data`, a few bytes, under a fence. Whoever holds the lock publishes one at a time.
 * @returns the name of the entry
 * @throws WorkspaceError STALE_LOCK where the hold is over: nobody reads what was published then, unless its
 *   successor found it there; USAGE for no data
 */
export async function publishFenced(
  folder: string,
  fence: Fence,
  data: Uint8Array | string,
): Promise<string> {
  if (data.length === 0) throw nothingToPublish(folder)
  await openEpoch(folder, fence)
  const name = await publishEntry(folder, fence.epoch, (_, path) => publishFile(path, data))
  requireNewest(await listEntries(folder), folder, fence)
  return name!
}

/** @throws WorkspaceError STALE_LOCK where a higher epoch has published at this pointer */
export function requireNewest(
  entries: readonly Pick<Entry, 'epoch' | 'name'>[],
  where: string,
  fence: Pick<Fence, 'name' | 'epoch'>,
): void {
  const newest = entries.at(-1)
  if (!newest || newest.epoch <= fence.epoch) return
  throw new WorkspaceError('STALE_LOCK', `${fence.name} is fenced off at ${where}`, {
    expected: `no entry of an epoch after ${fence.epoch}`,
    found: newest.name,
    hint: 'another holds the lock now, or has held it since: what this one publishes here is not read any more',
  })
}

/**
 * Makes the epoch the newest one, once. Who publishes in a lower epoch lists after it: without a higher epoch there,
 * its entry was there before this one's, and the second listing here finds it.
 */
async function openEpoch(folder: string, fence: Fence): Promise<void> {
  await fence.check()
  await fs.mkdirp(folder)
  const entries = await listEntries(folder)
  requireNewest(entries, folder, fence)
  const found = entries.at(-1)
  if (found?.epoch === fence.epoch) return
  await repeat(folder, found, `${fence.epoch}.0`)
  const late = (await listEntries(folder)).findLast(({ epoch }) => epoch < fence.epoch)
  if (late && late.name !== found?.name) await repeat(folder, late, `${fence.epoch}.1`)
}

/** A name that is taken was taken by another process of the same hold. */
async function repeat(folder: string, found: Entry | undefined, name: string): Promise<void> {
  await publishFile(join(folder, name), found ? await fs.readFile(join(folder, found.name)) : '')
}

/** An epoch that found nothing says so with an empty entry. */
async function readEntry(folder: string, { name }: Entry): Promise<Buffer | undefined> {
  const data = await fs.readFile(join(folder, name))
  return data.length > 0 ? data : undefined
}

const nothingToPublish = (folder: string): WorkspaceError =>
  new WorkspaceError('USAGE', `nothing was given to publish at ${folder}`, {
    expected: 'at least one byte',
    found: 'none',
    hint: 'an empty entry says that there was nothing: publish some text that stands for it',
  })
