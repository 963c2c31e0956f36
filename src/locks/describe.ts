/** What a lock looks like, for people. */
import type { LockBackend } from './backend.ts'
import type { Ended, Hold, LockState, Waiter } from './format.ts'
import { describeTerms } from './modes.ts'
import { title } from './say.ts'

/** Who holds the lock, who waits in which order, and how the last holds ended. @throws WorkspaceError LOCK_DAMAGED. */
export async function describeLock(locks: LockBackend, name: string): Promise<LockState> {
  return locks.open(name).read()
}

/** The state of a lock as lines: its holders, its queue with places, and the last holds, newest first. */
export function formatLock(name: string, { holders, queue, ended }: LockState): string {
  return [
    `lock ${name}: ${holders.length > 0 ? `held, ${describeTerms(holders[0]!.request)}` : 'free'}`,
    ...section('held by', holders.map(formatHold)),
    ...section('waiting', queue.map(formatWaiter)),
    ...section('before', ended.map(formatEnd)),
  ].join('\n')
}

const section = (head: string, lines: string[]): string[] =>
  lines.length === 0 ? [] : [`${head}:`, ...lines.map((line) => `  ${line}`)]

const formatHold = ({ request, epoch, at }: Hold): string =>
  `epoch ${epoch}  ${title(request)}  since ${at}  on ${request.by.node}  ticket ${request.ticket}`

const formatWaiter = ({ request, at }: Waiter, index: number): string =>
  `${index + 1}.  ${title(request)}  since ${at}  ${describeTerms(request)}  priority ${request.priority}  ticket ${request.ticket}`

function formatEnd({ epoch, owner, since = '?', at, how, by, why }: Ended): string {
  const who = how === 'released' ? '' : ` by ${ownerOf(by.taskRun)}: ${why}`
  return `epoch ${epoch}  ${owner.kind} ${ownerOf(owner)}  from ${since} to ${at}  ${how}${who}`
}

const ownerOf = ({ namespace, name }: Ended['owner']): string => `${namespace}/${name}`
