/**
 * The file operations of the product, so that a test can make one of them fail. Domain code imports this,
 * never node:fs. Operations throw what the operating system said; `toWorkspaceError` gives it a code.
 */
import * as nodefs from 'node:fs/promises'
import { constants, type Dirent, type Stats } from 'node:fs'
import { errno } from '../errors.ts'

export type { FileHandle } from 'node:fs/promises'
export type { Dirent, Stats }

export type Operation =
  | 'open'
  | 'read'
  | 'write'
  | 'sync'
  | 'link'
  | 'unlink'
  | 'rename'
  | 'mkdir'
  | 'readdir'
  | 'readFile'
  | 'lstat'
  | 'symlink'
  | 'readlink'
  | 'rm'

/** Called before each operation; a test's may throw, wait or end the process. */
type Fault = (operation: Operation, path: string) => void | Promise<void>
let fault: Fault | undefined

/** For tests: `injectFault(undefined)` takes it away again. */
export function injectFault(next: Fault | undefined): void {
  fault = next
}

/** Runs the injected fault, if any; for the other files of platform/. */
export function at(operation: Operation, path: string): void | Promise<void> {
  return fault?.(operation, path)
}

/** Modes that let every user of the volume's group work in what another made (setgid keeps the group). */
export const FOLDER_MODE = 0o2775
export const FILE_MODE = 0o664

export async function open(
  path: string,
  flags: string | number,
  mode = FILE_MODE,
): Promise<nodefs.FileHandle> {
  await at('open', path)
  return nodefs.open(path, flags, mode)
}

/** Creates `path` for writing, exclusively, group-writable whatever the umask says. */
export async function create(path: string, mode = FILE_MODE): Promise<nodefs.FileHandle> {
  await at('open', path)
  const handle = await nodefs.open(path, constants.O_RDWR | constants.O_CREAT | constants.O_EXCL, mode)
  await handle.chmod(mode).catch(ignoreDenied)
  return handle
}

export async function write(
  handle: nodefs.FileHandle,
  data: Uint8Array | Uint8Array[],
  path: string,
): Promise<void> {
  await at('write', path)
  // writeFile goes on after a short write, as write alone does not.
  await naming(path, handle.writeFile(data))
}

export async function sync(handle: nodefs.FileHandle, path: string): Promise<void> {
  await at('sync', path)
  await naming(path, handle.sync())
}

/** What fails on a handle does not say on which file: this adds it, as what takes a path does by itself. */
export async function naming<T>(path: string, action: Promise<T>): Promise<T> {
  try {
    return await action
  } catch (error) {
    throw named(error, path)
  }
}

export function named(error: unknown, path: string): unknown {
  if (error instanceof Error && errno(error)) error.message += ` '${path}'`
  return error
}

export async function link(from: string, to: string): Promise<void> {
  await at('link', to)
  await nodefs.link(from, to)
}

export async function rename(from: string, to: string): Promise<void> {
  await at('rename', to)
  await nodefs.rename(from, to)
}

export async function unlink(path: string): Promise<void> {
  await at('unlink', path)
  await nodefs.unlink(path)
}

export async function symlink(target: string, path: string): Promise<void> {
  await at('symlink', path)
  await nodefs.symlink(target, path)
}

export async function readlink(path: string): Promise<string> {
  await at('readlink', path)
  return nodefs.readlink(path)
}

export async function readFile(path: string): Promise<Buffer> {
  await at('readFile', path)
  return nodefs.readFile(path)
}

/** A file's text; undefined where it is gone, or where a listing showed it sooner than an open finds it. */
export async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return (await readFile(path)).toString()
  } catch (error) {
    if (errno(error) === 'ENOENT' || errno(error) === 'ESTALE') return undefined
    throw error
  }
}

export async function lstat(path: string): Promise<Stats> {
  await at('lstat', path)
  return nodefs.lstat(path)
}

export async function stat(path: string): Promise<Stats> {
  await at('lstat', path)
  return nodefs.stat(path)
}

/** Removes a tree; what is not there is no error. Never follows symlinks. */
export async function removeTree(path: string): Promise<void> {
  await at('rm', path)
  await nodefs.rm(path, { recursive: true, force: true })
}

/** Removes a folder that is empty. @returns false where it is not, or is gone. */
export async function removeFolder(path: string): Promise<boolean> {
  await at('rm', path)
  try {
    await nodefs.rmdir(path)
    return true
  } catch (error) {
    if (['ENOTEMPTY', 'EEXIST', 'ENOENT'].includes(errno(error) ?? '')) return false
    throw error
  }
}

export async function chmod(path: string, mode: number): Promise<void> {
  await nodefs.chmod(path, mode)
}

export async function utimes(path: string, seconds: number): Promise<void> {
  await nodefs.utimes(path, seconds, seconds)
}

export async function realpath(path: string): Promise<string> {
  return nodefs.realpath(path)
}

export const statfs = nodefs.statfs

/** The entries of a folder with their types, sorted by name; a missing folder has none. */
export async function list(path: string): Promise<Dirent[]> {
  await at('readdir', path)
  try {
    const entries = await nodefs.readdir(path, { withFileTypes: true })
    return entries.sort((a, b) => (a.name < b.name ? -1 : 1))
  } catch (error) {
    if (errno(error) === 'ENOENT') return []
    throw error
  }
}

/** Makes one folder, group-writable whatever the umask says. @returns false where the name was taken. */
export async function mkdir(path: string): Promise<boolean> {
  await at('mkdir', path)
  try {
    await nodefs.mkdir(path, FOLDER_MODE)
  } catch (error) {
    if (errno(error) === 'EEXIST') return false
    throw error
  }
  await nodefs.chmod(path, FOLDER_MODE).catch(ignoreDenied)
  return true
}

/** Makes a folder and what is missing above it, each group-writable. */
export async function mkdirp(path: string): Promise<void> {
  try {
    await mkdir(path)
  } catch (error) {
    if (errno(error) !== 'ENOENT') throw error
    await mkdirp(path.slice(0, path.lastIndexOf('/')))
    await mkdir(path)
  }
}

/** Copies a folder with its modes and symlinks, sharing the blocks where the file system can. */
export async function copyTree(from: string, to: string): Promise<void> {
  await at('open', to)
  await nodefs.cp(from, to, {
    recursive: true,
    verbatimSymlinks: true,
    errorOnExist: true,
    force: false,
    mode: constants.COPYFILE_FICLONE,
  })
  await nodefs.chmod(to, FOLDER_MODE).catch(ignoreDenied)
}

/** Flushes a folder's names to the disk; file systems that refuse this do it by themselves. */
export async function syncFolder(path: string): Promise<void> {
  const handle = await nodefs.open(path, constants.O_RDONLY)
  try {
    await at('sync', path)
    await handle.sync()
  } catch (error) {
    if (!['EINVAL', 'ENOTSUP', 'EBADF'].includes(errno(error) ?? '')) throw error
  } finally {
    await handle.close()
  }
}

// Some volumes (EFS access points, SMB) force modes and owners and refuse to change them: no step depends on it.
export function ignoreDenied(error: unknown): void {
  if (!['EPERM', 'ENOTSUP', 'EACCES', 'EINVAL'].includes(errno(error) ?? '')) throw error
}
