/** Locks, on the shared volume or as Leases. What they are, and why, is in docs; what is not exported here is not for others. */
export { acquire, type Outcome } from './acquire.ts'
export type { AcquireOptions } from './acquisition.ts'
export { release, type Released, type ReleaseOptions } from './release.ts'
export { forceRelease, type Forced, type ForceOptions } from './force.ts'
export { withLock, HOLDING, type Done, type Held, type WithLockOptions } from './with-lock.ts'
export { describeLock, formatLock } from './describe.ts'
export { fenceOf, type HoldName } from './fence.ts'
export { createWatch, type Watch } from './watch.ts'
export type { LockBackend, LockStore } from './backend.ts'
export { leaseLocks } from './lease/backend.ts'
export { volumeLocks } from './volume/backend.ts'
export {
  MODES,
  type Ended,
  type Heartbeat,
  type Hold,
  type LockState,
  type Mode,
  type Request,
  type Waiter,
  type Who,
} from './format.ts'
