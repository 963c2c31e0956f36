/**
 * flock(2) on an open descriptor, without ever blocking: by the fs-ext addon where it could be compiled, else by
 * util-linux's `flock` (or busybox's) on an inherited descriptor: a flock belongs to the open file, which parent
 * and child share.
 * The descriptor must be open for reading and writing: NFS makes a byte-range lock of it.
 */
import type * as ChildProcess from 'node:child_process'
import { constants } from 'node:fs'
import { createRequire } from 'node:module'
import { errno, WorkspaceError } from '../errors.ts'
import { create, open, type FileHandle } from './fs.ts'

export interface Flock {
  /** Which way it goes, for the log. */
  readonly by: 'fs-ext' | 'util-linux'
  /** @returns false where another open file holds it. */
  tryLock(fd: number, mode: 'exclusive' | 'shared'): Promise<boolean>
  unlock(fd: number): Promise<void>
}

interface FsExt {
  flock(fd: number, how: 'exnb' | 'shnb' | 'un', done: (error: NodeJS.ErrnoException | null) => void): void
}

/** The addon, or undefined where this machine could not compile it. */
export function fsExtFlock(): Flock | undefined {
  let addon: FsExt
  try {
    addon = createRequire(import.meta.url)('fs-ext') as FsExt
  } catch {
    return undefined
  }
  const call = (fd: number, how: 'exnb' | 'shnb' | 'un'): Promise<boolean> =>
    new Promise((resolve, reject) => {
      addon.flock(fd, how, (error) => {
        if (!error) resolve(true)
        else if (error.code === 'EAGAIN' || error.code === 'EWOULDBLOCK') resolve(false)
        else reject(error)
      })
    })
  return {
    by: 'fs-ext',
    tryLock: (fd, mode) => call(fd, mode === 'exclusive' ? 'exnb' : 'shnb'),
    unlock: async (fd) => void (await call(fd, 'un')),
  }
}

/** util-linux's flock: the exit code 1 means held by another. */
export function utilLinuxFlock(): Flock {
  const call = async (fd: number, how: string): Promise<boolean> => {
    const { spawn } = await childProcess()
    return new Promise((resolve, reject) => {
      const child = spawn('flock', ['-n', how, '3'], { stdio: ['ignore', 'ignore', 'pipe', fd] })
      let stderr = ''
      child.stderr?.on('data', (chunk: Buffer) => (stderr += chunk.toString()))
      child.on('error', (cause) => reject(noFlock(cause)))
      child.on('close', (code) => {
        if (code === 0) resolve(true)
        else if (code === 1 && !stderr) resolve(false)
        else reject(new WorkspaceError('STORAGE_IO', `flock ended with ${code}: ${stderr.trim()}`))
      })
    })
  }
  return {
    by: 'util-linux',
    tryLock: (fd, mode) => call(fd, mode === 'exclusive' ? '-x' : '-s'),
    unlock: async (fd) => void (await call(fd, '-u')),
  }
}

/** Loaded when it is needed: it would cost every step some milliseconds of its start. */
const childProcess = (): Promise<typeof ChildProcess> => import('node:child_process')

const noFlock = (cause: unknown): WorkspaceError =>
  new WorkspaceError('STORAGE_IO', 'no way to flock a file here', {
    expected: 'the fs-ext addon compiled for this Node, or util-linux with its flock command',
    found: 'neither',
    hint: 'install util-linux, or a C++ compiler and run npm ci again',
    cause,
  })

let chosen: Flock | undefined

/** The flock of this machine. */
export function flock(): Flock {
  chosen ??= fsExtFlock() ?? utilLinuxFlock()
  return chosen
}

/**
 * Opens a file to be locked, which NFS wants to be open for writing; makes it where it is missing. Fails for a
 * symlink (ELOOP) and does not wait for a fifo's other end.
 */
export async function openLockFile(path: string): Promise<FileHandle> {
  const flags = constants.O_RDWR | constants.O_NOFOLLOW | constants.O_NONBLOCK
  try {
    return await open(path, flags)
  } catch (error) {
    if (errno(error) !== 'ENOENT') throw error
  }
  try {
    return await create(path)
  } catch (error) {
    if (errno(error) !== 'EEXIST') throw error
    return open(path, flags)
  }
}

/**
 * Whether another process can lock the file at `path` now: what the probe of a volume asks while it holds the
 * lock itself.
 */
export async function anotherProcessCanLock(path: string): Promise<boolean> {
  const { spawn } = await childProcess()
  const [command, ...args] = fsExtFlock() ? childByAddon(path) : ['flock', '-n', path, 'true']
  return new Promise((resolve, reject) => {
    const child = spawn(command!, args, { stdio: 'ignore' })
    child.on('error', (cause) => reject(noFlock(cause)))
    child.on('close', (code) => resolve(code === 0))
  })
}

function childByAddon(path: string): string[] {
  const addon = createRequire(import.meta.url).resolve('fs-ext')
  const program =
    'const [addon, path] = process.argv.slice(1);' +
    'require(addon).flock(require("fs").openSync(path, "r+"), "exnb", (error) => process.exit(error ? 1 : 0))'
  return [process.execPath, '-e', program, addon, path]
}
