import { publishFile } from '../../volume/publish.ts'
import { formatSnapshot, type LockState } from '../format.ts'
import { listNumbers, numbered, removeFile, type LockPaths } from './paths.ts'

/**
 * Publishes `state` as a snapshot and removes what it makes void. Any number may do so at once, with any states
 * that the log has had: the newest snapshot counts, and what is removed was void before. The last snapshot but
 * one stays, so that a listing that runs while a new one comes and an old one goes cannot miss both. Of a log that
 * got long because nobody could compact it, the next ones remove the rest: who waits for this may just have been
 * granted the lock.
 */
export async function compact(paths: LockPaths, state: LockState): Promise<void> {
  await publishFile(numbered(paths.snapshots, state.seq), formatSnapshot(state))
  const events = await listNumbers(paths.events)
  await removeAll(paths.events, events.filter((seq) => seq <= state.seq).slice(0, MOST))
  const snapshots = await listNumbers(paths.snapshots)
  await removeAll(paths.snapshots, snapshots.slice(0, -2))
}

const MOST = 5_000
const AT_ONCE = 64

async function removeAll(folder: string, numbers: number[]): Promise<void> {
  for (let from = 0; from < numbers.length; from += AT_ONCE)
    await Promise.all(numbers.slice(from, from + AT_ONCE).map((seq) => removeFile(numbered(folder, seq))))
}
