import { join, relative } from 'node:path'
import { errno } from '../errors.ts'
import * as fs from '../platform/fs.ts'

/** A symlink in the place of one of our folders, or of one above it, leads to what is not ours. */
export async function isOurs(root: string, folder: string): Promise<boolean> {
  try {
    return (await fs.realpath(folder)) === join(await fs.realpath(root), relative(root, folder))
  } catch (error) {
    if (errno(error) === 'ENOENT') return false
    throw error
  }
}
