/** Who may do what to a lock: each function looks at a state and says which event comes next. Pure. */
import type { Heartbeat, Hold, LockEvent, LockState, Request, Waiter, Who } from './format.ts'
import type { Next } from './backend.ts'
import type { Subject } from './observer.ts'

const sameTaskRun = (a: Request, b: Request): boolean => a.by.taskRun.uid === b.by.taskRun.uid
const samePod = (a: Request, b: Request): boolean => a.by.pod.uid === b.by.pod.uid

export const ownHold = (state: LockState, me: Request): Hold | undefined =>
  state.holders.find(({ request }) => sameTaskRun(request, me))

/**
 * Grants the lock where it is free and nobody is ahead. A TaskRun that holds it already keeps its hold; a new
 * attempt of it gets a new epoch, so that what the earlier one still publishes is fenced off.
 */
export function grant(state: LockState, me: Request): Next<Hold | undefined> {
  const own = ownHold(state, me)
  if (own && samePod(own.request, me)) return { done: own }
  if (own) return { append: { kind: 'granted', request: me, replaces: own.request.ticket } }
  const first = state.queue[0]
  const myTurn = first === undefined || first.request.ticket === me.ticket
  if (state.holders.length === 0 && myTurn) return { append: { kind: 'granted', request: me } }
  return { done: undefined }
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

const drop = (ticket: string, evidence: string, by: Who): LockEvent => ({
  kind: 'dropped',
  ticket,
  evidence,
  by,
})

/** Takes the ticket out of the queue if it is in it. */
export function withdraw(state: LockState, me: Request, why: string): Next<undefined> {
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
