/**
 * The guard of a lock's log: it keeps writers from racing for the same event number, which is slow on some
 * volumes, and nothing else. It is itself a lease on NFS and a process may be stopped inside it, so correctness
 * never rests on it, and those who cannot get it go ahead.
 */
import { errno } from '../../errors.ts'
import { jitter, monotonic, sleep } from '../../platform/clock.ts'
import { flock } from '../../platform/flock.ts'
import * as fs from '../../platform/fs.ts'

const TRY_EVERY_MS = 15

/** Runs `section` with the guard at `path`, or without it where it was not to be had within `maxWaitMs`. */
export async function withGuard<T>(path: string, maxWaitMs: number, section: () => Promise<T>): Promise<T> {
  const handle = maxWaitMs > 0 ? await openGuard(path) : undefined
  if (!handle) return section()
  try {
    await take(handle, maxWaitMs)
    return await section()
  } finally {
    // Closing the only descriptor frees the lock, also where this never got it.
    await handle.close()
  }
}

async function openGuard(path: string): Promise<fs.FileHandle | undefined> {
  try {
    // NFS wants a descriptor that is open for writing.
    return await fs.open(path, 'r+')
  } catch (error) {
    if (['ENOENT', 'EACCES', 'EPERM', 'ESTALE'].includes(errno(error) ?? '')) return undefined
    throw error
  }
}

async function take(handle: fs.FileHandle, maxWaitMs: number): Promise<void> {
  const deadline = monotonic() + maxWaitMs
  do {
    // A volume or an image that cannot flock only costs contention.
    if (
      await flock()
        .tryLock(handle.fd, 'exclusive')
        .catch(() => true)
    )
      return
    await sleep(jitter(TRY_EVERY_MS))
  } while (monotonic() < deadline)
}
