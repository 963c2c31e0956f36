/** Which holds go together. Pure. */
import type { Request } from './format.ts'

type Terms = Pick<Request, 'mode' | 'limit'>

/**
 * Whether `request` may join those that hold a lock. They go together themselves, so the first stands for all of
 * their terms. A counting request with another limit waits until those with the old one are done, as it would for
 * an exclusive hold: so a limit can be changed while the lock is in use.
 */
export function admits(holding: readonly Terms[], { mode, limit = 0 }: Terms): boolean {
  const [first] = holding
  if (first === undefined) return true
  switch (mode) {
    case 'exclusive':
      return false
    case 'shared':
      return first.mode === 'shared'
    case 'counting':
      return first.mode === 'counting' && first.limit === limit && holding.length < limit
  }
}

/** `exclusive`, `shared`, `counting up to 3`. */
export const describeTerms = ({ mode, limit }: Terms): string =>
  mode === 'counting' ? `counting up to ${limit}` : mode
