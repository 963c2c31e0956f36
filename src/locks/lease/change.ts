import { WorkspaceError } from '../../errors.ts'
import { jitter, sleep, timestamp } from '../../platform/clock.ts'
import type { Lease, Leases } from '../../platform/kube-leases.ts'
import type { Next } from '../backend.ts'
import { fold } from '../fold.ts'
import type { LockState } from '../format.ts'
import { leaseName } from './names.ts'
import { requireRoom, stateIn, withState } from './state.ts'

/** No decision takes more events than this; one that does would go on for ever. */
const MAX_EVENTS = 100
/** The pause after a conflict: at first, and at most. */
const PAUSE = { firstMs: 20, maxMs: 500 }

/**
 * Asks `decide` until it is done. Each event is folded into the state that it was decided on, and written only if the
 * Lease is still the one that was read.
 */
export async function changeLease<T>(
  leases: Leases,
  lock: string,
  decide: (state: LockState) => Next<T>,
): Promise<T> {
  let pauseMs = PAUSE.firstMs
  let lease = await leases.get(leaseName(lock))
  for (let events = 0; events <= MAX_EVENTS;) {
    const state = stateIn(lease, lock)
    const next = decide(state)
    if ('done' in next) return next.done
    const at = timestamp()
    const after = fold(state, { ...next.append, v: 1, seq: state.seq + 1, at })
    if (next.append.kind === 'queued') requireRoom(lock, after)
    const written = await write(leases, lease, withState(lease, lock, after, at))
    if (written) {
      events++
      lease = written
    } else {
      await sleep(jitter(pauseMs))
      pauseMs = Math.min(2 * pauseMs, PAUSE.maxMs)
      lease = await leases.get(leaseName(lock))
    }
  }
  throw new WorkspaceError('INTERNAL', `a change of the lock ${lock} did not come to an end`)
}

const write = (leases: Leases, before: Lease | undefined, after: Lease): Promise<Lease | undefined> =>
  before ? leases.replace(after) : leases.create(after)
