import type { LockBackend } from './backend.ts'
import type { LockState } from './format.ts'

/** Who holds the lock, who waits in which order, and how the last holds ended. @throws WorkspaceError LOCK_DAMAGED. */
export async function describeLock(locks: LockBackend, name: string): Promise<LockState> {
  return locks.open(name).read()
}
