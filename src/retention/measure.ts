import { join } from 'node:path'
import { WorkspaceError } from '../errors.ts'
import * as fs from '../platform/fs.ts'

export interface Measure {
  bytes: number
  /** The newest mtime below, in ms since the epoch: when somebody last wrote there. */
  newestMs: number
}

/**
 * Sizes up a tree without following symlinks.
 * @throws WorkspaceError UNSAFE_PATH where it leaves the device it started on: that is somebody else's.
 */
export async function measure(path: string, device?: number): Promise<Measure> {
  const self = await fs.lstat(path)
  if (device !== undefined && self.dev !== device) {
    throw new WorkspaceError('UNSAFE_PATH', `${path} is on another device`, {
      hint: 'unmount it, or exclude it by hand',
    })
  }
  // A folder that was only moved or made is as old as what is in it; its own time tells of names coming and going.
  const sum: Measure = { bytes: self.isFile() ? self.size : 0, newestMs: self.mtimeMs }
  if (!self.isDirectory()) return sum
  for (const entry of await fs.list(path)) {
    const below = await measure(join(path, entry.name), self.dev)
    sum.bytes += below.bytes
    sum.newestMs = Math.max(sum.newestMs, below.newestMs)
  }
  return sum
}
