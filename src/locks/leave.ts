import type { Acquisition } from './acquisition.ts'
import { withdraw } from './decide.ts'

/**
 * Takes the ticket of an acquisition that came to nothing out of the lock. What failed already is what the user
 * should hear of, not what failed in cleaning up after it: a ticket that stays is dropped by the next.
 */
export async function leave({ lock, me }: Acquisition, why: string): Promise<void> {
  await lock.change((state) => withdraw(state, me, why)).catch(() => undefined)
}

/** For a write that failed: it may have taken effect all the same. */
export function orLeave(acquisition: Acquisition) {
  return async (error: unknown): Promise<never> => {
    await leave(acquisition, 'failed')
    throw error
  }
}
