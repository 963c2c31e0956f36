/** Locks on the shared volume. What is on it, and why, is in docs; what is not exported here is not for others. */
export { acquire, type Outcome } from './acquire.ts'
export type { AcquireOptions } from './acquisition.ts'
export { release, type Released, type ReleaseOptions } from './release.ts'
export { describeLock } from './describe.ts'
export type { LockBackend, LockStore } from './backend.ts'
export { volumeLocks } from './volume/backend.ts'
export type { Ended, Heartbeat, Hold, LockState, Request, Waiter, Who } from './format.ts'
