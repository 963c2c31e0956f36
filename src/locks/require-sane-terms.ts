/** Refuses terms on which a lock would protect nothing or be held for ever: callers of the library have no schema. */
import { WorkspaceError } from '../errors.ts'
import type { AcquireOptions } from './acquisition.ts'

type Terms = Pick<AcquireOptions, 'mode' | 'limit' | 'timeoutMs' | 'maxHoldMs' | 'heartbeat' | 'priority'>

/** As long as the longest duration that a parameter takes. */
const LONGEST_MS = 366 * 24 * 3600 * 1000

/** @throws WorkspaceError USAGE that names everything that is wrong */
export function requireSaneTerms({
  mode,
  limit,
  timeoutMs,
  maxHoldMs,
  heartbeat,
  priority = 0,
}: Terms): void {
  const wrong: string[] = []
  const check = (isRight: boolean, what: string): void => void (isRight || wrong.push(what))
  const isTime = (ms: number): boolean => ms > 0 && ms <= LONGEST_MS
  check(isTime(timeoutMs), `timeoutMs ${timeoutMs}`)
  if (maxHoldMs !== undefined) check(isTime(maxHoldMs), `maxHoldMs ${maxHoldMs}`)
  if (heartbeat) {
    const { everyMs, ttlMs } = heartbeat
    check(
      isTime(everyMs) && isTime(ttlMs) && ttlMs > everyMs,
      `heartbeat every ${everyMs} ms, ttl ${ttlMs} ms`,
    )
  }
  check(Number.isSafeInteger(priority), `priority ${priority}`)
  if (mode === 'counting') check(Number.isSafeInteger(limit) && limit! > 0, `limit ${limit}`)
  else check(limit === undefined, `limit ${limit} with the mode ${mode ?? 'exclusive'}`)
  if (wrong.length === 0) return
  throw new WorkspaceError('USAGE', `the lock cannot be acquired on these terms: ${wrong.join('; ')}`, {
    expected:
      'times over 0 and up to 366 days, a ttl longer than the pause between two heartbeats, whole numbers, and a limit from 1 with the mode counting only',
    found: wrong.join('; '),
    hint: 'set them as the documentation of lock-acquire says',
  })
}
