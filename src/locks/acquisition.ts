import type { Emit } from '../events.ts'
import type { Identity } from '../identity.ts'
import { monotonic } from '../platform/clock.ts'
import { uuid } from '../platform/random.ts'
import type { Liveness } from '../volume/liveness.ts'
import type { LockBackend, LockStore } from './backend.ts'
import type { Heartbeat, Mode, Request } from './format.ts'
import { requireSaneTerms } from './require-sane-terms.ts'
import { whoIs } from './say.ts'
import { TUNING, type Tuning } from './tuning.ts'

export interface AcquireOptions {
  identity: Identity
  /** Whose end ends the hold: the whole run's, or this task's. */
  scope: 'run' | 'task'
  /** `exclusive` by default. */
  mode?: Mode
  /** How many may hold it at once, for the mode `counting`. */
  limit?: number | undefined
  /** Where the lock is held: wait in the queue until `timeoutMs` are over, or look once and skip or fail. */
  policy: 'wait' | 'skip' | 'fail'
  timeoutMs: number
  /** Others may take the lock over once one of them has watched the hold for longer. */
  maxHoldMs?: number | undefined
  /** The caller promises to beat (LockStore.startBeating, with the hold's ticket) for as long as it holds. */
  heartbeat?: Heartbeat | undefined
  /** Higher goes first; 0 by default. */
  priority?: number
  liveness: Liveness
  emit: Emit
  /** Once aborted, the ticket is withdrawn and the signal's reason thrown. */
  signal: AbortSignal
  /** For tests. */
  tuning?: Partial<Tuning>
}

/** What all parts of an acquisition share. */
export interface Acquisition extends AcquireOptions {
  me: Request
  lock: LockStore
  tuning: Tuning
  /** Milliseconds since it began. */
  waited: () => number
}

/** @throws WorkspaceError USAGE, UNSAFE_PATH for a bad name */
export function beginAcquisition(locks: LockBackend, name: string, options: AcquireOptions): Acquisition {
  requireSaneTerms(options)
  const { identity, scope, mode = 'exclusive', limit, maxHoldMs, heartbeat, priority = 0 } = options
  const tuning = { ...TUNING, ...options.tuning }
  const startedAt = monotonic()
  const me: Request = {
    ticket: uuid(),
    owner: scope === 'run' ? identity.run : identity.taskRun,
    by: whoIs(identity),
    mode,
    ...(limit === undefined ? {} : { limit }),
    priority,
    ...(maxHoldMs === undefined ? {} : { maxHoldMs }),
    ...(heartbeat === undefined ? {} : { heartbeat }),
  }
  const waited = (): number => Math.round(monotonic() - startedAt)
  return { ...options, me, lock: locks.open(name), tuning, waited }
}
