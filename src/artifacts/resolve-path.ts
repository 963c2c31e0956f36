/** What a step's parameter `path` means. */
import { dirname, isAbsolute, join, normalize, relative } from 'node:path'
import { errno, WorkspaceError } from '../errors.ts'
import * as fs from '../platform/fs.ts'

/**
 * The absolute path for `path`: itself where it is absolute, else below `base`, which it may not leave, neither
 * by `..` nor by a symlink. @throws WorkspaceError UNSAFE_PATH
 */
export async function resolvePath(base: string, path: string): Promise<string> {
  if (isAbsolute(path)) return withoutSlash(normalize(path))
  if (path.split('/').includes('..')) throw leaves(base, path, path)
  const full = withoutSlash(join(base, path))
  const found = relative(await realpathOrAbove(base), await realpathOrAbove(full))
  if (found === '..' || found.startsWith('../')) throw leaves(base, path, found)
  return full
}

const withoutSlash = (path: string): string =>
  path.length > 1 && path.endsWith('/') ? path.slice(0, -1) : path

/** The real path, with the part that is not there yet as it stands. */
async function realpathOrAbove(path: string): Promise<string> {
  try {
    return await fs.realpath(path)
  } catch (error) {
    if (errno(error) !== 'ENOENT' || path === '/') throw error
    return join(await realpathOrAbove(dirname(path)), path.slice(dirname(path).length))
  }
}

function leaves(base: string, path: string, found: string): WorkspaceError {
  return new WorkspaceError('UNSAFE_PATH', `the path ${JSON.stringify(path)} leaves ${base}`, {
    expected: 'a path inside that folder, or an absolute one',
    found,
    hint: 'give an absolute path if you mean another place',
  })
}
