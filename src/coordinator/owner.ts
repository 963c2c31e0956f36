import type { Layout } from '../volume/layout.ts'
import { sleep } from '../platform/clock.ts'
import { flock } from '../platform/flock.ts'
import * as fs from '../platform/fs.ts'

const POLL_MS = 500

/**
 * Waits until no other coordinator owns this disk: the one before may not have ended yet.
 * @returns what gives it up again
 */
export async function ownDisk({ coordinator }: Layout, signal: AbortSignal): Promise<() => Promise<void>> {
  await fs.create(coordinator).then(
    (made) => made.close(),
    () => {},
  )
  const handle = await fs.open(coordinator, 'r+')
  try {
    while (!(await flock().tryLock(handle.fd, 'exclusive'))) await sleep(POLL_MS, signal)
  } catch (error) {
    await handle.close()
    throw error
  }
  return () => handle.close()
}
