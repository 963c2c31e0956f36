import { join } from 'node:path'
import { errno, WorkspaceError } from '../errors.ts'
import * as fs from '../platform/fs.ts'

export interface Measure {
  bytes: number
  /** The newest mtime below, in ms since the epoch: when somebody last wrote there. */
  newestMs: number
}

export interface MeasureOptions {
  /** The device that the tree must be on. */
  device?: number
  /** Told of each folder that this user may not read, and that is left out; without it, such a folder throws. */
  unreadable?: (path: string) => void
}

/**
 * Sizes up a tree without following symlinks.
 * @throws WorkspaceError UNSAFE_PATH where it leaves the device it started on: that is somebody else's.
 */
export async function measure(path: string, options: MeasureOptions = {}): Promise<Measure> {
  const { device, unreadable } = options
  const self = await fs.lstat(path)
  if (device !== undefined && self.dev !== device) {
    throw new WorkspaceError('UNSAFE_PATH', `${path} is on another device`, {
      hint: 'unmount it, or exclude it by hand',
    })
  }
  // A folder that was only moved or made is as old as what is in it; its own time tells of names coming and going.
  const sum: Measure = { bytes: self.isFile() ? self.size : 0, newestMs: self.mtimeMs }
  if (!self.isDirectory()) return sum
  try {
    for (const entry of await fs.list(path)) {
      const below = await measure(join(path, entry.name), { ...options, device: self.dev })
      sum.bytes += below.bytes
      sum.newestMs = Math.max(sum.newestMs, below.newestMs)
    }
  } catch (error) {
    if (!unreadable || errno(error) !== 'EACCES') throw error
    unreadable(path)
  }
  return sum
}
