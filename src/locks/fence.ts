/** A hold as a fence: what is published with it is refused, or not read, once the hold is over (volume/fence.ts). */
import { WorkspaceError } from '../errors.ts'
import type { Fence } from '../volume/fence.ts'
import type { LockBackend } from './backend.ts'
import type { LockState } from './format.ts'
import { describeTerms } from './modes.ts'
import { stale } from './say.ts'

/** Which hold: the lock's name and the epoch that `acquire` gave. */
export interface HoldName {
  lock: string
  epoch: number
}

/**
 * The fence of a hold. Only an exclusive one fences: among holds that go together no epoch supersedes another.
 * Its `check` throws WorkspaceError STALE_LOCK where the hold is over, USAGE where it is not exclusive.
 */
export function fenceOf(locks: LockBackend, { lock, epoch }: HoldName): Fence {
  const store = locks.open(lock)
  return {
    name: `${lock}@${epoch}`,
    epoch,
    async check() {
      const state = await store.read()
      const hold = state.holders.find((one) => one.epoch === epoch)
      if (!hold) throw stale(lock, epoch, howItEnded(state, epoch), 'what it was to protect')
      if (hold.request.mode !== 'exclusive') throw fencesNothing(lock, epoch, describeTerms(hold.request))
    },
  }
}

function howItEnded({ ended }: LockState, epoch: number): string {
  const end = ended.find((one) => one.epoch === epoch)
  return end ? `${end.how} at ${end.at}` : 'no such hold'
}

const fencesNothing = (lock: string, epoch: number, found: string): WorkspaceError =>
  new WorkspaceError('USAGE', `the hold of lock ${lock} with epoch ${epoch} fences nothing off`, {
    expected: 'an exclusive hold',
    found,
    hint: 'others hold it at the same time: acquire an exclusive lock for what is published',
  })
