/**
 * File operations for many small files. A file system of this machine answers within microseconds, which is less
 * than it costs to hand a call to the thread pool and to hear of its end: there, calls are made at once. Over a
 * network they go to the pool, and those on several files wait side by side.
 */
import * as nodefs from 'node:fs'
import * as pool from 'node:fs/promises'
import { at, FOLDER_MODE, ignoreDenied, named, type Operation } from './fs.ts'
import { run, soon, type Soon, type Steps } from './soon.ts'

/** How many files to work on at a time where calls go to the pool. */
const TOGETHER = 16

/** What statfs(2) calls ext, xfs, btrfs, tmpfs, overlay, zfs and f2fs. */
const OF_THIS_MACHINE = [0xef53, 0x58465342, 0x9123683e, 0x01021994, 0x794c7630, 0x2fc12fc1, 0xf2f52010]
/** NFS and the kernel's CephFS. What FUSE says of changes depends on who is behind it. */
const OF_KNOWN_SERVERS = [0x6969, 0x00c36400]

const { O_RDONLY, O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW, O_NONBLOCK } = nodefs.constants

interface Handle {
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

const places = {
  here: filesBy(atOnce, 1, true),
  elsewhere: filesBy(pool, TOGETHER, true),
  unknown: filesBy(pool, TOGETHER, false),
}
let assumed: keyof typeof places | undefined

/** For tests: takes every file system for one of this place, or with undefined asks again. */
export function assume(place: typeof assumed): void {
  assumed = place
}

/** The operations for what is in and below `folder`. */
export async function filesIn(folder: string): Promise<Files> {
  return places[assumed ?? placeOf((await pool.statfs(folder)).type)]
}

function placeOf(type: number): keyof typeof places {
  if (OF_THIS_MACHINE.includes(type)) return 'here'
  return OF_KNOWN_SERVERS.includes(type) ? 'elsewhere' : 'unknown'
}

function filesBy(calls: Calls, together: number, tellsChanges: boolean) {
  return {
    /** How many files to work on at a time. */
    together,

    /** Whether a file that changes gets another time of change. */
    tellsChanges,

    /**
     * Reads a file into `buffer`, up to its length. Fails for a symlink (ELOOP), does not wait for a fifo's writer.
     * @returns how much was read, and what the file was before and after that
     */
    read: (path: string, buffer: Buffer): Soon<Reading> => run(read(calls, path, buffer)),

    /** What a file is, as fresh as reading it would tell: over NFS only opening it asks the server. */
    look: (path: string): Soon<nodefs.Stats> => run(look(calls, path)),

    /** Creates a file exclusively, with just this mode whatever the umask says, and writes `content` into it. */
    write: (path: string, mode: number, content: Buffer): Soon<void> =>
      run(write(calls, path, mode, content)),

    /** The names in a folder as bytes, which need not be UTF-8. */
    names: (folder: string): Soon<Buffer[]> =>
      guarded('readdir', folder, () => calls.readdir(folder, { encoding: 'buffer' })),

    /** A symlink's target as bytes. */
    target: (link: string): Soon<Buffer> =>
      guarded('readlink', link, () => calls.readlink(link, { encoding: 'buffer' })),

    lstat: (path: string): Soon<nodefs.Stats> => guarded('lstat', path, () => calls.lstat(path)),

    /** Makes one folder, group-writable whatever the umask says. */
    mkdir: (path: string): Soon<void> => run(mkdir(calls, path)),

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

/** What a file was before and after it was read. */
export interface Reading {
  before: nodefs.Stats
  length: number
  after: nodefs.Stats
}

function* read(calls: Calls, path: string, buffer: Buffer): Steps<Reading> {
  yield at('open', path)
  const handle = yield* soon(calls.open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0))
  try {
    const before = yield* soon(handle.stat())
    yield at('read', path)
    const length = yield* fill(handle, buffer)
    return { before, length, after: yield* soon(handle.stat()) }
  } catch (error) {
    throw named(error, path)
  } finally {
    yield handle.close()
  }
}

function* look(calls: Calls, path: string): Steps<nodefs.Stats> {
  yield at('open', path)
  const handle = yield* soon(calls.open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0))
  try {
    return yield* soon(handle.stat())
  } finally {
    yield handle.close()
  }
}

function* fill(handle: Handle, buffer: Buffer): Steps<number> {
  let filled = 0
  while (filled < buffer.length) {
    const { bytesRead } = yield* soon(handle.read(buffer, filled, buffer.length - filled, filled))
    if (bytesRead === 0) break
    filled += bytesRead
  }
  return filled
}

function* write(calls: Calls, path: string, mode: number, content: Buffer): Steps<void> {
  yield at('open', path)
  const handle = yield* soon(calls.open(path, O_WRONLY | O_CREAT | O_EXCL, mode))
  try {
    yield* permit(() => handle.chmod(mode))
    if (content.length > 0) yield at('write', path)
    for (let written = 0; written < content.length;)
      written += (yield* soon(handle.write(content, written))).bytesWritten
  } catch (error) {
    throw named(error, path)
  } finally {
    yield handle.close()
  }
}

function* mkdir(calls: Calls, path: string): Steps<void> {
  yield at('mkdir', path)
  yield calls.mkdir(path, FOLDER_MODE)
  yield* permit(() => calls.chmod(path, FOLDER_MODE))
}

function* permit(change: () => Soon<void>): Steps<void> {
  try {
    yield change()
  } catch (error) {
    ignoreDenied(error)
  }
}
