/** Words for people: who holds, who waits, and why a lock was not to be had. */
import { WorkspaceError } from '../errors.ts'
import type { Identity } from '../identity.ts'
import type { Acquisition } from './acquisition.ts'
import type { Hold, LockState, Request, Who } from './format.ts'
import { describeTerms } from './modes.ts'
import type { Finding } from './watchers.ts'

export const whoIs = ({ taskRun, task, pod, node }: Identity): Who => ({ taskRun, task, pod, node })

export const title = ({ owner, by }: Request): string =>
  `${owner.kind} ${owner.namespace}/${owner.name} (task ${by.task})`

export const describeHold = ({ request, epoch, at }: Hold): string =>
  `${title(request)}${request.mode === 'exclusive' ? '' : `, ${describeTerms(request)},`} with epoch ${epoch} since ${at}`

export function whoHolds({ holders, queue }: LockState): string {
  if (holders[0]) return title(holders[0].request) + andOthers(holders.length - 1)
  return queue[0] ? `nobody, next is ${title(queue[0].request)}` : 'nobody'
}

const andOthers = (count: number): string =>
  count === 0 ? '' : count === 1 ? ' and another' : ` and ${count} others`

/** Since when the oldest hold lasts. */
export const heldSince = ({ holders }: LockState): string => holders[0]?.at ?? '-'

/** The end of an acquisition that got nothing, by policy or by its deadline. */
export function notAcquired(
  { lock: { name }, me, policy, waited }: Acquisition,
  state: LockState,
  finding?: Finding,
): WorkspaceError {
  const { holders } = state
  const hold = holders.find(({ epoch }) => epoch === finding?.subject.epoch) ?? holders[0]
  const verdict = finding?.verdict
  const when = policy === 'wait' ? `within ${(waited() / 1000).toFixed(1)} s` : 'at once'
  const found = `held by ${hold ? describeHold(hold) + andOthers(holders.length - 1) : whoHolds(state)}`
  const details = { expected: `the lock ${name} to become free ${when}${forTerms(me)}` }
  if (hold && verdict?.state === 'unknown') {
    return new WorkspaceError(
      'LIVENESS_UNKNOWN',
      `the lock ${name} is held, and nothing tells whether its holder still lives`,
      {
        ...details,
        found: `${found}; ${verdict.why}`,
        hint: 'give the service account the Role of the maintenance bundle, so that holders that are gone can be told; or have the holder acquire with maxHold',
      },
    )
  }
  return new WorkspaceError('LOCK_NOT_ACQUIRED', `the lock ${name} was not to be had ${when}`, {
    ...details,
    found: verdict?.state === 'alive' ? `${found}; ${verdict.why}` : found,
    hint: hintFor(policy, me, hold),
  })
}

const forTerms = (me: Request): string => (me.mode === 'exclusive' ? '' : ` for ${describeTerms(me)}`)

function hintFor(policy: Acquisition['policy'], me: Request, hold: Hold | undefined): string {
  if (me.mode === 'counting' && hold?.request.mode === 'counting' && hold.request.limit !== me.limit)
    return 'give everybody who shares the lock the same limit: holds with different ones exclude each other'
  return policy === 'wait'
    ? 'raise timeout, or let the holder release sooner'
    : 'use the policy wait, or try again later'
}

/** The end of a hold whose owner believes to have it. `before`: before what it ended. */
export const stale = (name: string, epoch: number, found: string, before: string): WorkspaceError =>
  new WorkspaceError('STALE_LOCK', `the hold of lock ${name} with epoch ${epoch} ended before ${before}`, {
    expected: 'a hold that lasts until its owner releases it',
    found,
    hint: 'another may have worked at the same time: check what this run did while it believed to hold the lock',
  })
