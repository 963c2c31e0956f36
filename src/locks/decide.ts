/** Who may do what to a lock: each function looks at a state and says which event comes next. Pure. */
import { WorkspaceError } from '../errors.ts'
import type { Heartbeat, Hold, LockEvent, LockState, Request, Waiter, Who } from './format.ts'
import type { Next } from './backend.ts'
import { admits, describeTerms } from './modes.ts'
import type { Subject } from './observer.ts'

const sameTaskRun = (a: Request, b: Request): boolean => a.by.taskRun.uid === b.by.taskRun.uid
const samePod = (a: Request, b: Request): boolean => a.by.pod.uid === b.by.pod.uid

export const ownHold = (state: LockState, me: Request): Hold | undefined =>
  state.holders.find(({ request }) => sameTaskRun(request, me))

/** The place of a ticket in the queue, 0 for its head; -1 where it is not in it. */
export const placeOf = ({ ticket }: Request, { queue }: LockState): number =>
  queue.findIndex(({ request }) => request.ticket === ticket)

/**
 * Whether the lock admits `me` now, and everybody ahead as well: so nobody is overtaken, a shared request does not
 * pass an exclusive one that waits, and several at the front may come in at once.
 */
export function isGrantable(state: LockState, me: Request): boolean {
  const place = placeOf(me, state)
  const ahead = place < 0 ? state.queue : state.queue.slice(0, place)
  const holding = state.holders.map(({ request }) => request)
  for (const { request } of ahead) {
    if (!admits(holding, request)) return false
    holding.push(request)
  }
  return admits(holding, me)
}

/**
 * Grants the lock where it is to be had and nobody is overtaken. A TaskRun that holds it already keeps its hold; a
 * new attempt of it gets a new epoch, so that what the earlier one still publishes is fenced off.
 * @throws WorkspaceError USAGE where the TaskRun holds it on other terms
 */
export function grant(state: LockState, me: Request): Next<Hold | undefined> {
  const own = ownHold(state, me)
  if (own) requireSameTerms(own, me)
  if (own && samePod(own.request, me)) return { done: own }
  if (own) return { append: { kind: 'granted', request: me, replaces: own.request.ticket } }
  return isGrantable(state, me) ? { append: { kind: 'granted', request: me } } : { done: undefined }
}

/** With a heartbeat it is another kind of hold too: one that ends with its process, as that of with-lock does. */
function requireSameTerms({ request, epoch }: Hold, me: Request): void {
  const [expected, found] = [request, me].map(
    (one) => describeTerms(one) + (one.heartbeat ? ', with heartbeats' : ''),
  )
  if (expected === found) return
  throw new WorkspaceError('USAGE', `the task ${me.by.task} holds this lock already, on other terms`, {
    expected: `${expected}, as its hold with epoch ${epoch}`,
    found: found!,
    hint: 'a task has one hold of a lock: release it first, or use another lock for the other purpose',
  })
}

/** As `grant`, and queues where that cannot be. */
export function grantOrQueue(state: LockState, me: Request, heartbeat: Heartbeat): Next<Hold | Waiter> {
  const granted = grant(state, me)
  if ('append' in granted) return granted
  if (granted.done) return { done: granted.done }
  const waiter = state.queue.find(({ request }) => request.ticket === me.ticket)
  if (waiter) return { done: waiter }
  // Tekton starts a new attempt only once the pod of the last one is over.
  const earlier = state.queue.find(({ request }) => sameTaskRun(request, me) && !samePod(request, me))
  if (earlier)
    return {
      append: drop(earlier.request.ticket, `its TaskRun has a new attempt, pod ${me.by.pod.name}`, me.by),
    }
  return { append: { kind: 'queued', request: me, heartbeat } }
}

/** Ends the observed hold, or drops the observed waiter, if it is still there. */
export function remove(state: LockState, subject: Subject, evidence: string, by: Who): LockEvent | undefined {
  const { ticket, epoch } = subject
  const held = state.holders.some((hold) => hold.request.ticket === ticket && hold.epoch === epoch)
  if (held && epoch !== undefined) return { kind: 'taken-over', ticket, epoch, evidence, by }
  const queued = epoch === undefined && state.queue.some(({ request }) => request.ticket === ticket)
  return queued ? drop(ticket, evidence, by) : undefined
}

/** Ends the hold, or drops the waiter, with this ticket. */
export function force(state: LockState, ticket: string, reason: string, by: Who): LockEvent | undefined {
  const hold = state.holders.find(({ request }) => request.ticket === ticket)
  if (hold) return { kind: 'forced', ticket, epoch: hold.epoch, reason, by }
  const queued = state.queue.some(({ request }) => request.ticket === ticket)
  return queued ? drop(ticket, `forced: ${reason}`, by) : undefined
}

const drop = (ticket: string, evidence: string, by: Who): LockEvent => ({
  kind: 'dropped',
  ticket,
  evidence,
  by,
})

/** Takes the ticket out of the lock, where it waits or, after a write that failed only in part, holds it already. */
export function withdraw(state: LockState, me: Request, why: string): Next<undefined> {
  const hold = state.holders.find(({ request }) => request.ticket === me.ticket)
  if (hold) return { append: { kind: 'released', ticket: me.ticket, epoch: hold.epoch, by: me.by } }
  const queued = state.queue.some(({ request }) => request.ticket === me.ticket)
  return queued ? { append: { kind: 'withdrawn', ticket: me.ticket, why } } : { done: undefined }
}

/**
 * Whether a record of what was watched still counts: its ticket is there, and nobody has recorded since the
 * watching began, or the same time would count twice.
 */
export function mayRecord(state: LockState, record: LockEvent & { kind: 'watched' }): boolean {
  const entry = [...state.holders, ...state.queue].find(({ request }) => request.ticket === record.ticket)
  return entry !== undefined && record.from >= (entry.watched?.until ?? 0)
}
