/**
 * The two ways by which anything becomes visible on the volume. A file or folder is made whole under a
 * temporary name and then takes its own name exclusively: by link(2) for a file, by rename for a non-empty
 * folder. Nothing is ever renamed over a name that another writer may own.
 */
import { dirname, join } from 'node:path'
import * as fs from '../platform/fs.ts'
import { errno, ignoreMissing } from '../errors.ts'
import { jitter, sleep } from '../platform/clock.ts'
import { shortId } from '../platform/random.ts'

/** Temporary names start with this; retention collects those that a killed process left. */
export const TEMPORARY = '.tmp-'
/** Downloads under way, which outlive a killed process so that another goes on with them. */
export const UNDER_WAY = '.download-'

export const temporaryBeside = (target: string): string => join(dirname(target), TEMPORARY + shortId())

/**
 * Publishes a file: `data` is under `target` whole and on disk, or not at all.
 * @returns false where the name was taken already; what is there is left as it is.
 */
export async function publishFile(
  target: string,
  data: Uint8Array | string,
  mode?: number,
): Promise<boolean> {
  const temporary = temporaryBeside(target)
  try {
    await writeNew(temporary, data, mode)
    return await publishTemporary(temporary, target)
  } finally {
    await fs.unlink(temporary).catch(ignoreMissing)
  }
}

/** Makes a file that nobody looks for yet, and flushes it: under a temporary name, or in a folder that has one. */
export async function writeNew(path: string, data: Uint8Array | string, mode?: number): Promise<void> {
  const handle = await fs.create(path, mode)
  try {
    await fs.write(handle, typeof data === 'string' ? Buffer.from(data) : data, path)
    await fs.sync(handle, path)
  } finally {
    await handle.close()
  }
}

/** Gives a finished temporary file its name by link(2); the temporary name stays for the caller to remove. */
export async function publishTemporary(temporary: string, target: string): Promise<boolean> {
  try {
    await fs.link(temporary, target)
  } catch (error) {
    if (errno(error) !== 'EEXIST') throw error
    // Over NFS the answer to a link that succeeded can be lost and the retry say EEXIST: the link count tells.
    return (await fs.lstat(temporary)).nlink === 2
  }
  await fs.syncFolder(dirname(target))
  return true
}

/**
 * Publishes a folder that `fill` fills (it must leave something in it).
 * @returns false where the name was taken already; what is there is left as it is.
 */
export async function publishFolder(
  target: string,
  fill: (folder: string) => Promise<void>,
): Promise<boolean> {
  const temporary = temporaryBeside(target)
  try {
    await fs.mkdir(temporary)
    await fill(temporary)
    return await publishMadeFolder(temporary, target)
  } catch (error) {
    if (!TAKEN.includes(errno(error) ?? '')) throw error
    return false
  } finally {
    await fs.removeTree(temporary)
  }
}

/** ENOTEMPTY or EEXIST: a folder is there; ENOTDIR: a file is. Each is an answer, not an accident. */
const TAKEN = ['EEXIST', 'ENOTEMPTY', 'ENOTDIR']

/**
 * Gives a finished folder, which is not empty, its name by rename. For what is made where a killed process' successor
 * finds it.
 * @returns false where the name was taken already; both are left as they are.
 */
export async function publishMadeFolder(made: string, target: string): Promise<boolean> {
  await fs.syncFolder(made)
  try {
    await fs.rename(made, target)
  } catch (error) {
    if (!TAKEN.includes(errno(error) ?? '')) throw error
    return false
  }
  await fs.syncFolder(dirname(target))
  return true
}

/** One version of something that points: entries are only ever added, and readers take the highest. */
export interface Entry {
  epoch: number
  n: number
  /** `<epoch>.<n>`, the name in the folder. */
  name: string
  /** A file or a folder. */
  isFolder: boolean
}

/** The entries of a pointer folder, lowest first. Always lists: on NFS only a listing is fresh. */
export async function listEntries(folder: string): Promise<Entry[]> {
  const entries: Entry[] = []
  for (const item of await fs.list(folder)) {
    const match = /^(\d+)\.(\d+)$/.exec(item.name)
    if (!match) continue
    entries.push({
      epoch: Number(match[1]),
      n: Number(match[2]),
      name: item.name,
      isFolder: item.isDirectory(),
    })
  }
  return entries.sort((a, b) => a.epoch - b.epoch || a.n - b.n)
}

/**
 * Adds the next entry of `epoch` to a pointer folder. `decide` sees the entries as they are and publishes
 * under the path it is given (by publishFile or publishFolder), or returns undefined to leave it; it is asked
 * again whenever another writer took that name first.
 * @returns the entry's name, or undefined where `decide` left it.
 */
export async function publishEntry(
  folder: string,
  epoch: number,
  decide: (entries: Entry[], path: string) => Promise<boolean | undefined>,
): Promise<string | undefined> {
  await fs.mkdirp(folder)
  for (;;) {
    const entries = await listEntries(folder)
    const last = entries.findLast((entry) => entry.epoch === epoch)
    const name = `${epoch}.${(last?.n ?? -1) + 1}`
    const published = await decide(entries, join(folder, name))
    if (published === undefined) return undefined
    if (published) return name
    await sleep(jitter(20))
  }
}
