/** flock between the nodes: only reported, since nothing rests on it. */
import { flock } from '../../platform/flock.ts'
import * as fs from '../../platform/fs.ts'
import * as z from '../../zod.ts'
import type { Meeting, Side } from './meeting.ts'

/** Side 0 holds the lock while side 1 tries for it, and then does not. */
export async function tryFlock(path: string, meeting: Meeting, side: Side): Promise<string> {
  if (side === 0) {
    const handle = await fs.create(path)
    try {
      const held = await outcome(() => flock().tryLock(handle.fd, 'exclusive'))
      await meeting.exchange('flock-held', held)
    } finally {
      await handle.close()
    }
    return z.string().parse(await meeting.exchange('flock-freed'))
  }
  const held = await meeting.hear('flock-held')
  const whileHeld = await tryOnce(path)
  await meeting.tell('flock-held')
  await meeting.hear('flock-freed')
  const whenFreed = await tryOnce(path)
  const found = judgeFlock(held, whileHeld, whenFreed)
  await meeting.tell('flock-freed', found)
  return found
}

function judgeFlock(held: unknown, whileHeld: string, whenFreed: string): string {
  if (held === 'had' && whileHeld === 'refused' && whenFreed === 'had') return 'excludes'
  if (held === 'had' && whileHeld === 'had') return 'does not exclude'
  return `fails: ${String(held)} on one node, then ${whileHeld} and ${whenFreed} on the other`
}

async function tryOnce(path: string): Promise<string> {
  const handle = await fs.open(path, 'r+')
  try {
    return await outcome(() => flock().tryLock(handle.fd, 'exclusive'))
  } finally {
    await handle.close()
  }
}

async function outcome(tryLock: () => Promise<boolean>): Promise<string> {
  try {
    return (await tryLock()) ? 'had' : 'refused'
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}
