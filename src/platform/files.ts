/**
 * File operations for many small files. A file system of this machine answers within microseconds, which is less
 * than it costs to hand a call to the thread pool and to hear of its end: there, calls are made at once. Over a
 * network they go to the pool, and those on several files wait side by side.
 */
import * as nodefs from 'node:fs'
import * as pool from 'node:fs/promises'
import { at, FOLDER_MODE, ignoreDenied, named, type Operation } from './fs.ts'

/** How many files to work on at a time where calls go to the pool. */
const TOGETHER = 16

/** What statfs(2) calls ext, xfs, btrfs, tmpfs, overlay, zfs and f2fs. */
const OF_THIS_MACHINE = [0xef53, 0x58465342, 0x9123683e, 0x01021994, 0x794c7630, 0x2fc12fc1, 0xf2f52010]

const { O_RDONLY, O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW, O_NONBLOCK } = nodefs.constants

type Soon<T> = T | Promise<T>

/** The part of a FileHandle that is used here. */
export interface Handle {
  stat(): Soon<nodefs.Stats>
  read(buffer: Buffer, offset: number, length: number, position: number): Soon<{ bytesRead: number }>
  write(buffer: Buffer, offset: number): Soon<{ bytesWritten: number }>
  chmod(mode: number): Soon<void>
  close(): Soon<void>
}

interface Calls {
  open(path: string, flags: number, mode: number): Soon<Handle>
  readdir(path: string, options: { encoding: 'buffer' }): Soon<Buffer[]>
  readlink(path: string, options: { encoding: 'buffer' }): Soon<Buffer>
  lstat(path: string): Soon<nodefs.Stats>
  mkdir(path: string, mode: number): Soon<unknown>
  chmod(path: string, mode: number): Soon<void>
  symlink(target: string, path: string): Soon<void>
}

const atOnce: Calls = {
  open(path, flags, mode) {
    const descriptor = nodefs.openSync(path, flags, mode)
    return {
      stat: () => nodefs.fstatSync(descriptor),
      read: (buffer, offset, length, position) => ({
        bytesRead: nodefs.readSync(descriptor, buffer, offset, length, position),
      }),
      write: (buffer, offset) => ({ bytesWritten: nodefs.writeSync(descriptor, buffer, offset) }),
      chmod: (bits) => nodefs.fchmodSync(descriptor, bits),
      close: () => nodefs.closeSync(descriptor),
    }
  },
  readdir: nodefs.readdirSync,
  readlink: nodefs.readlinkSync,
  lstat: nodefs.lstatSync,
  mkdir: nodefs.mkdirSync,
  chmod: nodefs.chmodSync,
  symlink: nodefs.symlinkSync,
}

export type Files = ReturnType<typeof filesBy>

const [here, elsewhere] = [filesBy(atOnce, 1), filesBy(pool, TOGETHER)]
let assumed: 'elsewhere' | undefined

/** For tests: takes every file system for one over a network, or with undefined asks again. */
export function assume(place: typeof assumed): void {
  assumed = place
}

/** The operations for what is in and below `folder`. */
export async function filesIn(folder: string): Promise<Files> {
  if (assumed) return elsewhere
  return OF_THIS_MACHINE.includes((await pool.statfs(folder)).type) ? here : elsewhere
}

function filesBy(calls: Calls, together: number) {
  return {
    /** How many files to work on at a time. */
    together,

    /** Opens a file for reading; fails for a symlink (ELOOP), does not wait for a fifo's writer. */
    open: (path: string): Soon<Handle> =>
      guarded('open', path, () => calls.open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0)),

    /** Creates a file for writing, exclusively, with just this mode whatever the umask says. */
    async create(path: string, mode: number): Promise<Handle> {
      const flags = O_WRONLY | O_CREAT | O_EXCL
      const handle = await guarded('open', path, () => calls.open(path, flags, mode))
      await tryMode(() => handle.chmod(mode))
      return handle
    },

    /** The names in a folder as bytes, which need not be UTF-8. */
    names: (folder: string): Soon<Buffer[]> =>
      guarded('readdir', folder, () => calls.readdir(folder, { encoding: 'buffer' })),

    /** A symlink's target as bytes. */
    target: (link: string): Soon<Buffer> =>
      guarded('readlink', link, () => calls.readlink(link, { encoding: 'buffer' })),

    lstat: (path: string): Soon<nodefs.Stats> => guarded('lstat', path, () => calls.lstat(path)),

    /** Makes one folder, group-writable whatever the umask says. */
    async mkdir(path: string): Promise<void> {
      await guarded('mkdir', path, () => calls.mkdir(path, FOLDER_MODE))
      await tryMode(() => calls.chmod(path, FOLDER_MODE))
    },

    chmod: (path: string, mode: number): Soon<void> => calls.chmod(path, mode),

    symlink: (target: string, path: string): Soon<void> =>
      guarded('symlink', path, () => calls.symlink(target, path)),
  }
}

/** Runs the injected fault, if any, and then the call: without either being a promise, none is made. */
function guarded<T>(operation: Operation, path: string, call: () => Soon<T>): Soon<T> {
  const fault = at(operation, path)
  return fault ? fault.then(call) : call()
}

/** Fills `buffer` from the file's beginning. @returns the bytes read: fewer where the file ends before */
export async function readInto(handle: Handle, buffer: Buffer, path: string): Promise<number> {
  await at('read', path)
  let filled = 0
  try {
    while (filled < buffer.length) {
      const { bytesRead } = await handle.read(buffer, filled, buffer.length - filled, filled)
      if (bytesRead === 0) break
      filled += bytesRead
    }
  } catch (error) {
    throw named(error, path)
  }
  return filled
}

export async function writeAll(handle: Handle, data: Buffer, path: string): Promise<void> {
  await at('write', path)
  try {
    for (let written = 0; written < data.length;) written += (await handle.write(data, written)).bytesWritten
  } catch (error) {
    throw named(error, path)
  }
}

async function tryMode(change: () => Soon<void>): Promise<void> {
  try {
    await change()
  } catch (error) {
    ignoreDenied(error)
  }
}
