import type { Emit } from '../events.ts'
import type { Identity } from '../identity.ts'
import { monotonic } from '../platform/clock.ts'
import { uuid } from '../platform/random.ts'
import type { Liveness } from '../volume/liveness.ts'
import type { Volume } from '../volume/volume.ts'
import type { Heartbeat, Request } from './format.ts'
import { openLog, type LockLog } from './log.ts'
import { pathsOf, type LockPaths } from './paths.ts'
import { whoIs } from './say.ts'
import { TUNING, type Tuning } from './tuning.ts'

export interface AcquireOptions {
  identity: Identity
  /** Whose end ends the hold: the whole run's, or this task's. */
  scope: 'run' | 'task'
  /** Where the lock is held: wait in the queue until `timeoutMs` are over, or look once and skip or fail. */
  policy: 'wait' | 'skip' | 'fail'
  timeoutMs: number
  /** Others may take the lock over once one of them has watched the hold for longer. */
  maxHoldMs?: number | undefined
  /** The caller promises to beat (startBeating, with the hold's ticket) for as long as it holds. */
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
  name: string
  me: Request
  paths: LockPaths
  log: LockLog
  tuning: Tuning
  /** Milliseconds since it began. */
  waited: () => number
}

export function beginAcquisition(volume: Volume, name: string, options: AcquireOptions): Acquisition {
  const { identity, scope, maxHoldMs, heartbeat, priority = 0 } = options
  const tuning = { ...TUNING, ...options.tuning }
  const paths = pathsOf(volume, name)
  const startedAt = monotonic()
  const me: Request = {
    ticket: uuid(),
    owner: scope === 'run' ? identity.run : identity.taskRun,
    by: whoIs(identity),
    mode: 'exclusive',
    priority,
    ...(maxHoldMs === undefined ? {} : { maxHoldMs }),
    ...(heartbeat === undefined ? {} : { heartbeat }),
  }
  const waited = (): number => Math.round(monotonic() - startedAt)
  return { ...options, name, me, paths, log: openLog(paths, tuning), tuning, waited }
}
