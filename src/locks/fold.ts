/** The state of a lock as the fold of its events. Pure: no clock, no file, the same for every reader. */
import { admits } from './modes.ts'
import type { Ended, Hold, LockState, Request, StoredEvent, Waiter } from './format.ts'

export const EMPTY: LockState = { seq: 0, holders: [], queue: [], ended: [] }

/** How many ended holds are remembered, for those who come late to release theirs. */
export const REMEMBERED = 32

/** An event that cannot follow the state before it: the log is damaged, or a writer was wrong. */
export class ImpossibleEvent extends Error {}

/** The state after `event`. @throws ImpossibleEvent where it cannot follow: a wrong state would be a wrong grant. */
export function fold(state: LockState, event: StoredEvent): LockState {
  if (event.seq !== state.seq + 1) throw new ImpossibleEvent(`event ${event.seq} after event ${state.seq}`)
  return { ...apply(state, event), seq: event.seq }
}

function apply(state: LockState, event: StoredEvent): LockState {
  switch (event.kind) {
    case 'queued':
      return queue(state, event)
    case 'granted':
      return grant(state, event)
    case 'released':
      return end(state, event, 'released', '')
    case 'taken-over':
      return end(state, event, 'taken-over', event.evidence)
    case 'forced':
      return end(state, event, 'forced', event.reason)
    case 'withdrawn':
    case 'dropped':
      return leave(state, event.ticket)
    case 'watched':
      return {
        ...state,
        holders: state.holders.map((hold) => record(hold, event)),
        queue: state.queue.map((waiter) => record(waiter, event)),
      }
    default:
      return impossible(event)
  }
}

/** A kind without a case above does not compile. */
function impossible(event: never): never {
  throw new ImpossibleEvent(`an event of unknown kind: ${JSON.stringify(event)}`)
}

function queue(state: LockState, event: StoredEvent & { kind: 'queued' }): LockState {
  const { request, heartbeat, seq, at } = event
  requireNew(state, request)
  return { ...state, queue: [...state.queue, { request, heartbeat, seq, at }].sort(byTurn) }
}

const byTurn = (a: Waiter, b: Waiter): number => b.request.priority - a.request.priority || a.seq - b.seq

function grant(state: LockState, event: StoredEvent & { kind: 'granted' }): LockState {
  const { request, replaces, seq, at } = event
  const queued = state.queue.some((waiter) => waiter.request.ticket === request.ticket)
  if (!queued) requireNew(state, request)
  const before = queued ? leave(state, request.ticket) : state
  const freed = replaces
    ? end(
        before,
        { ...event, ticket: replaces, epoch: undefined, by: request.by },
        'retried',
        'a new attempt of its TaskRun',
      )
    : before
  const holding = freed.holders.map((hold) => hold.request)
  if (!admits(holding, request)) throw new ImpossibleEvent(`event ${seq} grants a lock that is held`)
  return { ...freed, holders: [...freed.holders, { request, epoch: seq, at }] }
}

interface End {
  seq: number
  ticket: string
  /** Undefined where the ticket alone says which hold. */
  epoch: number | undefined
  by: Ended['by']
  at: string
}

function end(state: LockState, event: End, how: Ended['how'], why: string): LockState {
  const hold = state.holders.find(
    ({ request, epoch }) => request.ticket === event.ticket && (event.epoch ?? epoch) === epoch,
  )
  if (!hold) throw new ImpossibleEvent(`event ${event.seq} ends a hold that there is not`)
  const { by, at } = event
  const ended: Ended = {
    ticket: event.ticket,
    epoch: hold.epoch,
    owner: hold.request.owner,
    since: hold.at,
    how,
    by,
    why,
    at,
  }
  return {
    ...state,
    holders: state.holders.filter((other) => other !== hold),
    ended: [ended, ...state.ended].slice(0, REMEMBERED),
  }
}

function leave(state: LockState, ticket: string): LockState {
  const queue = state.queue.filter((waiter) => waiter.request.ticket !== ticket)
  if (queue.length === state.queue.length)
    throw new ImpossibleEvent(`ticket ${ticket} leaves a queue it is not in`)
  return { ...state, queue }
}

function requireNew(state: LockState, { ticket }: Request): void {
  const known = [...state.holders, ...state.queue].some((entry) => entry.request.ticket === ticket)
  if (known) throw new ImpossibleEvent(`ticket ${ticket} comes twice`)
}

/** Time that two observers watched at once counts once: a record that began before the last one is void. */
function record<T extends Hold | Waiter>(entry: T, event: StoredEvent & { kind: 'watched' }): T {
  const counts = entry.request.ticket === event.ticket && event.from >= (entry.watched?.until ?? 0)
  return counts ? { ...entry, watched: { ...event.watched, until: event.seq } } : entry
}
