import type { Call, WorkerHistory } from '../history.ts'
import { ended, type Fault, type History, type Violation } from './types.ts'

/** What a call may answer but success. */
const EXPECTED: Partial<Record<Call['kind'], readonly string[]>> = {
  read: ['STALE_LOCK'],
  write: ['STALE_LOCK'],
  release: ['STALE_LOCK', 'LOCK_NOT_HELD'],
  meddle: ['STALE_LOCK', 'LOCK_NOT_HELD'],
}

/** Every call comes to an end, and to one that is to be expected, unless its process was killed or cut off in it. */
export function checkCalls({ workers, faults, crashes }: History): Violation[] {
  const of = Map.groupBy(faults, ({ worker }) => worker)
  return [
    ...crashes.map(({ worker, why }): Violation => {
      return { rule: 'no error', lock: '', what: `${worker} ended by itself`, evidence: [why] }
    }),
    ...workers.flatMap((history) => [...unexpected(history, of.get(history.worker) ?? [])]),
  ]
}

function* unexpected({ worker, calls }: WorkerHistory, faults: readonly Fault[]): Generator<Violation> {
  const isKilled = faults.some(({ fault }) => fault === 'kill')
  for (const call of calls) {
    const { kind, lock, invoked, returned, error } = call
    if (returned === undefined && !isKilled)
      yield { rule: 'every wait ends', lock, what: `${kind} by ${worker} did not end`, evidence: [call] }
    if (!error || EXPECTED[kind]?.includes(error.code)) continue
    // A process that was stopped or cut off has lost its time, or its storage.
    const hindered = faults.some((fault) => fault.from < ended(call) && (fault.until ?? Infinity) > invoked)
    if (hindered && ['LOCK_NOT_ACQUIRED', 'STORAGE_IO'].includes(error.code)) continue
    const rule = error.code === 'LOCK_NOT_ACQUIRED' ? 'every wait ends' : 'no error'
    yield {
      rule,
      lock,
      what: `${kind} by ${worker} failed with ${error.code}: ${error.why}`,
      evidence: [call],
    }
  }
}

/** The longest that a process waited for a lock without being stopped, cut off or killed itself. */
export function longestWaitMs({ workers, faults }: History): number {
  const of = Map.groupBy(faults, ({ worker }) => worker)
  const waits = workers.flatMap(({ worker, calls }) =>
    calls
      .filter((call) => call.kind === 'acquire' && call.returned !== undefined)
      .filter(
        (call) =>
          !(of.get(worker) ?? []).some(
            ({ from, until = Infinity }) => from < ended(call) && until > call.invoked,
          ),
      )
      .map((call) => call.returned! - call.invoked),
  )
  return Math.round(waits.reduce((longest, wait) => Math.max(longest, wait), 0) / 1000)
}
