/**
 * The lock by which others know that a local run lives. The runner and all its steps hold it through one open file,
 * so that it is free only when every one of them is gone, whatever ended them.
 */
import { dirname } from 'node:path'
import { WorkspaceError } from '../errors.ts'
import { sleep } from '../platform/clock.ts'
import { flock } from '../platform/flock.ts'
import * as fs from '../platform/fs.ts'
import { layoutOf } from '../volume/layout.ts'

export interface Alive {
  /** For every child to inherit. */
  fd: number
  /** Lets go. @returns false where a process of the run still holds it; then its file stays. */
  release(): Promise<boolean>
}

/** Takes the lock of a run on the volume at `root`. */
export async function holdAlive(root: string, runId: string): Promise<Alive> {
  const path = layoutOf(root).alive(runId)
  await fs.mkdirp(dirname(path))
  const held = await fs.create(path)
  if (!(await lockSoon(held))) throw new WorkspaceError('STORAGE_IO', `${path} is locked by another process`)
  return {
    fd: held.fd,
    async release() {
      // Only a second open file can tell whether a child is left that shares the first one.
      await held.close()
      const again = await fs.open(path, 'r+')
      try {
        const free = await lockSoon(again)
        // Removed while held: nobody can be looking at a file that is neither locked nor gone.
        if (free) await fs.unlink(path)
        return free
      } finally {
        await again.close()
      }
    },
  }
}

/** Those who look whether the run lives hold the lock for a moment. */
async function lockSoon(handle: fs.FileHandle): Promise<boolean> {
  for (let tries = 0; tries < 20; tries++) {
    if (await flock().tryLock(handle.fd, 'exclusive')) return true
    await sleep(25)
  }
  return false
}
