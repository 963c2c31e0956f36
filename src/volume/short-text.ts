/**
 * A short text as the target of a symlink. symlink(2) takes a name exclusively and brings the whole content with it,
 * in one operation of the server: there is no temporary file, nothing to flush before the name shows, and nothing
 * half-written. What is too long for a target, or a volume without symlinks, gets a file.
 */
import { errno } from '../errors.ts'
import * as fs from '../platform/fs.ts'
import { publishFile } from './publish.ts'

/** XFS takes 1,024 bytes, most others 4,095; SMB may refuse all. */
const NO_SYMLINK = new Set(['ENAMETOOLONG', 'EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EINVAL'])

/**
 * Publishes a text that is not empty.
 * @returns false where the name was taken already; or, over NFS, where the answer to this very call was lost.
 */
export async function publishText(path: string, text: string): Promise<boolean> {
  try {
    await fs.symlink(text, path)
    return true
  } catch (error) {
    const code = errno(error) ?? ''
    if (code === 'EEXIST') return false
    if (NO_SYMLINK.has(code)) return publishFile(path, text)
    throw error
  }
}

/** The text; undefined where it is gone, or where a listing showed it sooner than a lookup finds it. */
export async function readText(path: string): Promise<string | undefined> {
  try {
    return await fs.readlink(path)
  } catch (error) {
    const code = errno(error)
    if (code === 'ENOENT' || code === 'ESTALE') return undefined
    // A file.
    if (code === 'EINVAL') return fs.readIfThere(path)
    throw error
  }
}
