/** What is in an installation: once to write it down, and later to compare. */
import { join } from 'node:path'
import pLimit from 'p-limit'
import * as fs from '../platform/fs.ts'
import { hashFile } from '../platform/hash-file.ts'
import type { ToolFile } from './format.ts'
import { pathsIn } from './layout.ts'

/** Over a network each file costs a round trip or two: so many of them wait side by side. */
const TOGETHER = 16

/**
 * What is under `content/` and `bin/` of an installation's folder, sorted. A device or the like is left out.
 * @param read whether files are read: without it their sha256 is ''
 */
export async function listTree(folder: string, read = true): Promise<ToolFile[]> {
  const { content, bin } = pathsIn(folder)
  const limit = pLimit(TOGETHER)
  const files: Promise<ToolFile>[] = []
  const walk = async (path: string): Promise<void> => {
    for (const entry of await fs.list(path)) {
      const at = join(path, entry.name)
      const relative = at.slice(folder.length + 1)
      if (entry.isFile())
        files.push(limit(() => (read ? describeFile(at, relative) : describeSize(at, relative))))
      else if (entry.isSymbolicLink())
        files.push(limit(async () => ({ path: relative, type: 'symlink', target: await fs.readlink(at) })))
      else if (entry.isDirectory()) {
        files.push(limit(() => describeFolder(at, relative)))
        await walk(at)
      }
    }
  }
  try {
    await walk(content)
    await walk(bin)
  } finally {
    // A failure of the walk must not leave others running.
    await Promise.allSettled(files)
  }
  return Promise.all(files)
}

async function describeFolder(path: string, relative: string): Promise<ToolFile> {
  return { path: relative, type: 'dir', mode: (await fs.lstat(path)).mode & 0o777 }
}

async function describeFile(path: string, relative: string): Promise<ToolFile> {
  const { mode, size, sha256 } = await hashFile(path)
  return { path: relative, type: 'file', mode: mode & 0o7777, size, sha256 }
}

async function describeSize(path: string, relative: string): Promise<ToolFile> {
  const { mode, size } = await fs.lstat(path)
  return { path: relative, type: 'file', mode: mode & 0o7777, size, sha256: '' }
}
