/** Ends a hold, or a wait, that is not one's own: by its ticket and with a reason, which stay in the log. */
import { WorkspaceError } from '../errors.ts'
import type { Emit } from '../events.ts'
import type { Identity } from '../identity.ts'
import type { LockBackend } from './backend.ts'
import { force } from './decide.ts'
import type { LockState } from './format.ts'
import { describeHold, title, whoIs } from './say.ts'

export interface ForceOptions {
  identity: Identity
  /** Which hold or waiter; describeLock tells. */
  ticket: string
  /** Why, for people. */
  reason: string
  emit: Emit
}

export interface Forced {
  /** Of the hold that ended; undefined where the ticket was waiting. */
  epoch: number | undefined
  /** Whose ticket it was, for people. */
  holder: string
}

/**
 * Ends the hold with this ticket, whoever has it and whether or not it still works: what it publishes from now on
 * is fenced off where it publishes with a fence, and nowhere else. A waiter is dropped from the queue; one that
 * still lives queues again, as the last. Repeating it is no error.
 * @throws WorkspaceError USAGE without a reason; LOCK_NOT_HELD where no such ticket holds the lock or waits for it
 */
export async function forceRelease(locks: LockBackend, name: string, options: ForceOptions): Promise<Forced> {
  const { identity, ticket, reason, emit } = options
  if (reason.trim() === '') throw withoutReason(name)
  const by = whoIs(identity)
  const lock = locks.open(name)
  let forced: Forced | undefined
  const after = await lock.change<LockState>((state) => {
    const append = force(state, ticket, reason, by)
    if (!append) return { done: state }
    forced = whoseTicket(state, ticket)
    return { append }
  })
  const end = after.ended.find((one) => one.ticket === ticket)
  // Its owner may have released it before this came.
  if (!forced || (end && end.how !== 'forced')) return earlier(after, name, ticket)
  await lock.removeBeats(ticket)
  const { epoch, holder } = forced
  emit({ event: 'lock-forced', lock: name, ticket, ...(epoch ? { epoch } : {}), holder, reason })
  return forced
}

function whoseTicket({ holders, queue }: LockState, ticket: string): Forced {
  const entry = [...holders, ...queue].find(({ request }) => request.ticket === ticket)!
  return { epoch: 'epoch' in entry ? entry.epoch : undefined, holder: title(entry.request) }
}

function earlier({ holders, ended }: LockState, name: string, ticket: string): Forced {
  const end = ended.find((one) => one.ticket === ticket)
  if (end?.how === 'forced')
    return { epoch: end.epoch, holder: `${end.owner.kind} ${end.owner.namespace}/${end.owner.name}` }
  throw new WorkspaceError('LOCK_NOT_HELD', `no ticket ${ticket} holds the lock ${name}, or waits for it`, {
    expected: 'the ticket of a holder or waiter, as workspace-status prints them with its parameter lock',
    found: end
      ? `a hold with epoch ${end.epoch} that has ended: ${end.how} at ${end.at}`
      : holders.map(describeHold).join('; ') || 'nobody holds it',
    hint: 'look who holds the lock now: it may have gone on meanwhile',
  })
}

const withoutReason = (name: string): WorkspaceError =>
  new WorkspaceError('USAGE', `the lock ${name} is not forced without a reason`, {
    expected: 'a sentence that tells people why',
    found: 'no reason',
    hint: 'set reason: it is recorded in the lock and printed by those who look at it',
  })
