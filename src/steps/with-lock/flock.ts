/** A plain flock on a file of the user's, for the sake of programs that know no other lock. */
import { basename, dirname, join, resolve } from 'node:path'
import { errno, WorkspaceError } from '../../errors.ts'
import { jitter, monotonic, sleep } from '../../platform/clock.ts'
import { flock, openLockFile } from '../../platform/flock.ts'
import * as fs from '../../platform/fs.ts'

export interface FlockOptions {
  policy: 'wait' | 'skip' | 'fail'
  /** Milliseconds that are left of the time to wait. */
  left: () => number
  /** Called every so often while another holds it. */
  tell: (file: string) => void
  signal: AbortSignal
}

export interface Flocked {
  /** A process that inherits it keeps the lock if this one is killed. */
  fd: number
  /** Frees the lock, also where others still have the descriptor. */
  release(): Promise<void>
}

const TRY_EVERY_MS = 500
const TELL_EVERY_MS = 15_000

/**
 * Locks the file at `path` exclusively.
 * @returns undefined with the policy `skip` where another holds it
 * @throws WorkspaceError LOCK_NOT_ACQUIRED by policy or deadline, UNSAFE_PATH for a path that leaves the volume,
 * USAGE for one that is no file
 */
export async function takeFlock(
  root: string,
  path: string,
  { policy, left, tell, signal }: FlockOptions,
): Promise<Flocked | undefined> {
  const file = await fileInside(root, path)
  for (let tellAt = 0; ; await sleep(Math.min(jitter(TRY_EVERY_MS), left()), signal)) {
    signal.throwIfAborted()
    const flocked = await tryOnce(file)
    if (flocked || policy === 'skip') return flocked
    if (policy === 'fail' || left() <= 0) throw heldByAnother(file)
    if (monotonic() < tellAt) continue
    tell(file)
    tellAt = monotonic() + TELL_EVERY_MS
  }
}

async function tryOnce(file: string): Promise<Flocked | undefined> {
  const handle = await openLockFile(file).catch((error: unknown) => {
    throw notOpened(error, file)
  })
  if (!(await isLocked(handle, file))) {
    await handle.close()
    return undefined
  }
  return {
    fd: handle.fd,
    async release() {
      await flock().unlock(handle.fd)
      await handle.close()
    },
  }
}

/** Some programs remove their lock file: a lock on what has lost its name excludes nobody. */
async function isLocked(handle: fs.FileHandle, file: string): Promise<boolean> {
  const opened = await handle.stat()
  if (!opened.isFile()) throw noFile(file, 'something else')
  if (!(await flock().tryLock(handle.fd, 'exclusive'))) return false
  const named = await fs.lstat(file).catch(() => undefined)
  return named?.ino === opened.ino && named.dev === opened.dev
}

/** The real path of a file on the volume that need not be there yet; symlinks are followed inside only. */
async function fileInside(root: string, path: string): Promise<string> {
  const volume = await fs.realpath(root)
  const wanted = resolve(root, path)
  const folder = await fs.realpath(dirname(wanted)).catch((error: unknown) => {
    throw errno(error) === 'ENOENT' ? noFile(wanted, 'no folder that it could be in', error) : error
  })
  const file = await fs.realpath(wanted).catch((error: unknown) => {
    if (errno(error) !== 'ENOENT') throw error
    return join(folder, basename(wanted))
  })
  if (file.startsWith(`${volume}/`)) return file
  throw new WorkspaceError('UNSAFE_PATH', `the path ${JSON.stringify(path)} leaves the shared volume`, {
    expected: `a file below ${volume}`,
    found: file,
    hint: 'choose a path on the volume; symlinks may not lead out of it',
  })
}

function notOpened(error: unknown, file: string): unknown {
  const code = errno(error)
  if (code === 'EISDIR' || code === 'ENXIO') return noFile(file, 'something else', error)
  if (code !== 'ELOOP') return error
  return new WorkspaceError('UNSAFE_PATH', `${file} is a symlink to what is not there`, {
    expected: 'a file, or a symlink to one on the volume',
    found: 'a symlink',
    hint: 'remove the symlink, or make the file that it leads to',
    cause: error,
  })
}

const noFile = (file: string, found: string, cause?: unknown): WorkspaceError =>
  new WorkspaceError('USAGE', `${file} cannot be held by flock`, {
    expected: 'a file, or a folder to make it in',
    found,
    hint: 'give flock the path of a file in a folder that exists',
    cause,
  })

const heldByAnother = (file: string): WorkspaceError =>
  new WorkspaceError('LOCK_NOT_ACQUIRED', `${file} is held by a program that uses flock`, {
    expected: 'the file to become free',
    found: 'an flock of another process',
    hint: 'raise timeout, or look which program holds it (lslocks, on its node)',
  })
