/** Releases a hold, by someone of its owner. */
import { WorkspaceError } from '../errors.ts'
import type { Emit } from '../events.ts'
import type { Identity, Owner } from '../identity.ts'
import type { LockBackend } from './backend.ts'
import { REMEMBERED } from './fold.ts'
import type { Ended, Hold, LockState } from './format.ts'
import { describeHold, stale, whoIs } from './say.ts'

export interface ReleaseOptions {
  identity: Identity
  /** The hold's epoch; undefined for whichever hold the run or the task has. */
  epoch: number | undefined
  emit: Emit
}

export interface Released {
  epoch: number
  /** Whose hold it was, for people. */
  holder: string
}

/**
 * Releases the lock `name`. Repeating it is no error.
 * @throws WorkspaceError STALE_LOCK where the hold was taken over, forced, or replaced by a new attempt;
 * LOCK_NOT_HELD where neither the run nor the task has, or had, that hold.
 */
export async function release(locks: LockBackend, name: string, options: ReleaseOptions): Promise<Released> {
  const { identity, epoch, emit } = options
  const lock = locks.open(name)
  const by = whoIs(identity)
  let released: Hold | undefined
  const end = await lock.change<Ended>((state) => {
    // What this call has begun to release is what it goes on with, whatever the run holds by then.
    const wanted = released?.epoch ?? epoch
    const hold = state.holders.find((other) =>
      wanted === undefined ? owns(identity, other.request.owner) : other.epoch === wanted,
    )
    if (!hold) return { done: endOf(state, name, identity, wanted) }
    if (!owns(identity, hold.request.owner)) throw notHeld(name, wanted, state)
    released = hold
    return { append: { kind: 'released', ticket: hold.request.ticket, epoch: hold.epoch, by } }
  })
  if (released) {
    await lock.removeBeats(released.request.ticket)
    emit({ event: 'lock-released', lock: name, epoch: end.epoch })
  }
  return { epoch: end.epoch, holder: `${end.owner.kind} ${end.owner.namespace}/${end.owner.name}` }
}

/** A hold for the run may be released by any of its tasks, one for a task by that task alone. */
const owns = ({ run, taskRun }: Identity, owner: Owner): boolean =>
  owner.uid === run.uid || owner.uid === taskRun.uid

/** How the hold has ended. @throws where that is not by a release of its owner. */
function endOf(state: LockState, name: string, identity: Identity, epoch: number | undefined): Ended {
  const end = state.ended.find((other) =>
    epoch === undefined ? owns(identity, other.owner) : other.epoch === epoch,
  )
  const isForgotten = state.ended.length === REMEMBERED && state.ended.some((other) => other.epoch > epoch!)
  if (!end && epoch !== undefined && isForgotten)
    throw stale(name, epoch, 'so long ago that how is not recorded any more', 'this release')
  if (!end || !owns(identity, end.owner)) throw notHeld(name, epoch, state)
  if (end.how === 'released') return end
  throw stale(
    name,
    end.epoch,
    `${end.how} at ${end.at} by ${end.by.taskRun.namespace}/${end.by.taskRun.name}: ${end.why}`,
    'this release',
  )
}

function notHeld(name: string, epoch: number | undefined, { holders }: LockState): WorkspaceError {
  return new WorkspaceError('LOCK_NOT_HELD', `the lock ${name} is not held by this run or task`, {
    expected:
      epoch === undefined ? 'a hold of this run or task' : `a hold of this run or task with epoch ${epoch}`,
    found: holders[0] ? `held by ${describeHold(holders[0])}` : 'nobody holds it',
    hint: 'release it where it was acquired: with scope "run" by any task of that run, with scope "task" by that task; and pass the epoch of the acquire',
  })
}
