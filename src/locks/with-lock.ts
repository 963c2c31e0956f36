/** Runs work under a lock: with heartbeats for as long as it runs, and told when the lock is lost. */
import { WorkspaceError } from '../errors.ts'
import { acquire, type Outcome } from './acquire.ts'
import type { AcquireOptions } from './acquisition.ts'
import type { LockBackend } from './backend.ts'
import type { Heartbeat } from './format.ts'
import { release } from './release.ts'
import { watchHold, type WatchTimes } from './watch-hold.ts'

/** What a hold promises and how it is watched. Users have no say in these; tests shorten them. */
export const HOLDING: Heartbeat & WatchTimes = {
  everyMs: 10_000,
  ttlMs: 60_000,
  checkMs: 2_000,
  // The rest of the ttl is for stopping the work.
  sureForMs: 40_000,
}

export interface Held {
  epoch: number
  /** Aborted once the lock is lost: the work has to stop, within what is left of the ttl. */
  lost: AbortSignal
}

export interface WithLockOptions extends Omit<AcquireOptions, 'scope' | 'maxHoldMs' | 'heartbeat'> {
  /** For tests. */
  holding?: Partial<typeof HOLDING>
}

/** `value` is what the work gave; it did not run where the lock was not acquired. */
export type Done<T> =
  (Outcome & { acquired: true; value: T }) | (Outcome & { acquired: false; value?: undefined })

/**
 * Acquires the lock `name` for this task, runs `work` and releases the lock.
 * @throws what `acquire` or the work throws; WorkspaceError LOCK_LOST where the lock was lost before the work had
 * ended, whatever the work did then: another may have worked at the same time.
 */
export async function withLock<T>(
  locks: LockBackend,
  name: string,
  { holding, ...options }: WithLockOptions,
  work: (held: Held) => Promise<T>,
): Promise<Done<T>> {
  const { everyMs, ttlMs, ...times } = { ...HOLDING, ...holding }
  const outcome = await acquire(locks, name, {
    ...options,
    scope: 'task',
    heartbeat: { everyMs, ttlMs },
  })
  if (!outcome.acquired) return outcome
  const { ticket, epoch } = outcome
  const lock = locks.open(name)
  // A process of this pod that was killed may have left some: a new beat has to be the highest.
  await lock.removeBeats(ticket)
  const beating = lock.startBeating(ticket, everyMs)
  const watch = watchHold(lock, outcome, times)
  const { identity, emit } = options
  watch.lost.addEventListener('abort', () =>
    emit({ event: 'lock-lost', lock: name, epoch, why: String(watch.lost.reason) }),
  )
  try {
    const value = await settled(() => work({ epoch, lost: watch.lost }))
    // What is lost is left as it is: whether the work has really stopped, others tell by the ttl and the API.
    if (watch.lost.aborted) throw lockLost(name, epoch, String(watch.lost.reason))
    const released = await settled(() => release(locks, name, { identity, epoch, emit }))
    if ('error' in value) throw value.error
    if ('error' in released) throw whileHeld(released.error, name, epoch)
    return { ...outcome, value: value.value }
  } finally {
    await watch.stop()
    const stopped = beating.stop().catch(() => undefined)
    // A volume that hangs keeps nobody from leaving.
    if (!watch.lost.aborted) await stopped
  }
}

type Settled<T> = { value: T } | { error: unknown }

async function settled<T>(action: () => Promise<T>): Promise<Settled<T>> {
  try {
    return { value: await action() }
  } catch (error) {
    return { error }
  }
}

/** A hold that was taken over between the last look and the release is lost as well. */
function whileHeld(error: unknown, name: string, epoch: number): unknown {
  const isOver = error instanceof WorkspaceError && ['STALE_LOCK', 'LOCK_NOT_HELD'].includes(error.code)
  return isOver ? lockLost(name, epoch, error.found ?? error.message, error) : error
}

const lockLost = (name: string, epoch: number, found: string, cause?: unknown): WorkspaceError =>
  new WorkspaceError('LOCK_LOST', `the lock ${name} was lost while it was in use`, {
    expected: `the hold with epoch ${epoch} until the command has ended`,
    found,
    hint: 'look at what the command has changed, since another may have worked at the same time; publish with the fence, so that a late change is refused',
    cause,
  })
