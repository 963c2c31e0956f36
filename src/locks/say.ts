/** Words for people: who holds, who waits, and why a lock was not to be had. */
import { WorkspaceError } from '../errors.ts'
import type { Identity } from '../identity.ts'
import type { Verdict } from '../volume/liveness.ts'
import type { Acquisition } from './acquisition.ts'
import type { Hold, LockState, Request, Who } from './format.ts'

export const whoIs = ({ taskRun, task, pod, node }: Identity): Who => ({ taskRun, task, pod, node })

export const title = ({ owner, by }: Request): string =>
  `${owner.kind} ${owner.namespace}/${owner.name} (task ${by.task})`

export const describeHold = (hold: Hold): string =>
  `${title(hold.request)} with epoch ${hold.epoch} since ${hold.at}`

export function whoHolds({ holders, queue }: LockState): string {
  if (holders[0]) return title(holders[0].request)
  return queue[0] ? `nobody, next is ${title(queue[0].request)}` : 'nobody'
}

/** The end of an acquisition that got nothing, by policy or by its deadline. */
export function notAcquired(
  { lock: { name }, policy, waited }: Acquisition,
  state: LockState,
  verdict?: Verdict,
): WorkspaceError {
  const [hold] = state.holders
  const when = policy === 'wait' ? `within ${(waited() / 1000).toFixed(1)} s` : 'at once'
  const found = hold ? `held by ${describeHold(hold)}` : `held by ${whoHolds(state)}`
  const details = { expected: `the lock ${name} to become free ${when}` }
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
    hint:
      policy === 'wait'
        ? 'raise timeout, or let the holder release sooner'
        : 'use the policy wait, or try again later',
  })
}
