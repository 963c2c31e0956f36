/**
 * Decides whether a history of locks is one that may be. Pure. Locks are independent of each other, so each is
 * checked by itself.
 */
import type { Call } from '../history.ts'
import { checkExclusion } from './exclusion.ts'
import { checkFile } from './file.ts'
import { byLock, holdsOf } from './holds.ts'
import { checkPointer } from './pointer.ts'
import { checkReleases } from './releases.ts'
import type { Fault, History, Violation } from './types.ts'
import { checkCalls, longestWaitMs } from './waits.ts'

export interface Findings {
  acquisitions: number
  /** How many of each kind; pauses are all longer than the ttl. */
  faults: Record<Fault['fault'], number>
  takeovers: number
  droppedWaiters: number
  /** Writes and releases that were refused since their hold was over. */
  fencedWrites: number
  staleReleases: number
  /** Releases of holds of others, all to be refused. */
  meddling: number
  longestWaitMs: number
  violations: Violation[]
}

export function check(history: History): Findings {
  const { workers, faults, left } = history
  const calls = workers.flatMap((worker) => worker.calls)
  const holds = holdsOf(history)
  const told = workers.flatMap((worker) => worker.told)
  const refused = (kind: Call['kind']): number =>
    calls.filter((call) => call.kind === kind && call.error?.code === 'STALE_LOCK').length
  return {
    acquisitions: holds.length,
    faults: countFaults(faults),
    takeovers: told.filter((one) => one.told === 'lock-taken-over').length,
    droppedWaiters: told.filter((one) => one.told === 'waiter-dropped').length,
    fencedWrites: refused('read') + refused('write'),
    staleReleases: refused('release'),
    meddling: calls.filter((call) => call.kind === 'meddle').length,
    longestWaitMs: longestWaitMs(history),
    violations: [...checkCalls(history), ...checkLocks(calls, holds, left)],
  }
}

function* checkLocks(
  calls: readonly Call[],
  holds: readonly ReturnType<typeof holdsOf>[number][],
  left: History['left'],
): Generator<Violation> {
  const of = {
    read: byLock(calls, 'read'),
    write: byLock(calls, 'write'),
    load: byLock(calls, 'load'),
    save: byLock(calls, 'save'),
    look: byLock(calls, 'look'),
    meddle: byLock(calls, 'meddle'),
  }
  const leftOf = Map.groupBy(left, ({ lock }) => lock)
  for (const [lock, itsHolds] of Map.groupBy(holds, (hold) => hold.lock)) {
    const its = (kind: keyof typeof of): Call[] => of[kind].get(lock) ?? []
    yield* checkExclusion(lock, itsHolds)
    yield* checkReleases(lock, itsHolds, its('meddle'))
    yield* checkFile(lock, itsHolds, { loads: its('load'), saves: its('save') })
    const pointer = { reads: its('read'), writes: its('write'), looks: its('look') }
    yield* checkPointer(lock, { ...pointer, left: leftOf.get(lock) ?? [] })
  }
}

function countFaults(faults: readonly Fault[]): Findings['faults'] {
  const count = (kind: Fault['fault']): number =>
    // A cut hits every process of a mount at once; a cancelled process is killed in the end.
    new Set(
      faults
        .filter(({ fault }) => fault === kind)
        .map(({ worker, from }) => (kind === 'cut' ? from : `${worker}@${from}`)),
    ).size
  return {
    kill: count('kill') - count('cancel'),
    pause: count('pause'),
    cancel: count('cancel'),
    cut: count('cut'),
  }
}
