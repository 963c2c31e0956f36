import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { force, grant, grantOrQueue, ownHold, remove, withdraw } from '../../src/locks/decide.ts'
import { EMPTY, fold, ImpossibleEvent } from '../../src/locks/fold.ts'
import { formatEvent, formatSnapshot, parseEvent, parseSnapshot } from '../../src/locks/format.ts'
import type { LockEvent, LockState, Request, StoredEvent } from '../../src/locks/format.ts'
import { holderSubject, waiterSubject } from '../../src/locks/observer.ts'
import { whoIs } from '../../src/locks/say.ts'
import { identityOf } from './support.ts'

const HEARTBEAT = { everyMs: 20_000, ttlMs: 60_000 }
const PEOPLE = 5

const ticketOf = (n: number): string => `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`

type Terms = Pick<Request, 'mode' | 'limit'>
const EXCLUSIVE: Terms = { mode: 'exclusive' }
const SHARED: Terms = { mode: 'shared' }
const counting = (limit: number): Terms => ({ mode: 'counting', limit })

function requestOf(person: number, n: number, priority = 0, terms = EXCLUSIVE): Request {
  const identity = identityOf(`run-${person}`, 'task', `pod-${person}`)
  return { ticket: ticketOf(n), owner: identity.run, by: whoIs(identity), ...terms, priority }
}

/** What the modes promise, said otherwise than the product does. */
function goTogether(requests: readonly Request[]): boolean {
  const [modes, limits] = [
    new Set(requests.map(({ mode }) => mode)),
    requests.map(({ limit }) => limit ?? Infinity),
  ]
  if (requests.length < 2) return true
  if (modes.has('exclusive') || modes.size > 1) return false
  return new Set(limits).size === 1 && requests.length <= limits[0]!
}

/** What people do, in any order; each act becomes an event only where the state allows it. */
interface Act {
  person: number
  does: 'acquire' | 'try' | 'retry' | 'release' | 'withdraw' | 'take over' | 'force' | 'drop' | 'record'
  priority: number
  terms: Terms
  /** Which holder or waiter, where there are several. */
  which: number
}

const acts = fc.array(
  fc.record({
    person: fc.nat(PEOPLE - 1),
    does: fc.constantFrom<Act['does'][]>(
      'acquire',
      'acquire',
      'try',
      'retry',
      'release',
      'release',
      'withdraw',
      'take over',
      'force',
      'drop',
      'record',
    ),
    priority: fc.constantFrom(0, 0, 0, 5),
    terms: fc.constantFrom<Terms[]>(EXCLUSIVE, SHARED, SHARED, counting(2), counting(2), counting(3)),
    which: fc.nat(2),
  }),
  { maxLength: 60 },
)

/** The log that comes of the acts, decided as the product decides. */
function play(script: Act[]): StoredEvent[] {
  let state: LockState = EMPTY
  const log: StoredEvent[] = []
  let me: Request[] = Array.from({ length: PEOPLE }, (_, person) => requestOf(person, person + 1))
  for (const [turn, { person, does, priority, terms, which }] of script.entries()) {
    const queued = state.queue.some(({ request }) => request.ticket === me[person]?.ticket)
    const held = state.holders.some(({ request }) => request.ticket === me[person]?.ticket)
    // Who holds it already would be refused on other terms.
    const own = ownHold(state, me[person]!)?.request
    const { mode, limit } = own ?? terms
    const mine = { mode, ...(limit === undefined ? {} : { limit }) }
    if (!queued && !held) me = me.with(person, requestOf(person, 100 + turn, priority, mine))
    const append = eventOf(state, me[person]!, does, which)
    if (!append) continue
    const event = { v: 1 as const, seq: state.seq + 1, at: `t${turn}`, ...append }
    log.push(event)
    state = fold(state, event)
  }
  return log
}

function eventOf(state: LockState, me: Request, act: Act['does'], which: number): LockEvent | undefined {
  const [hold, waiter] = [
    state.holders[which % state.holders.length],
    state.queue[which % state.queue.length],
  ]
  const appended = (next: { append: LockEvent } | { done: unknown }) =>
    'append' in next ? next.append : undefined
  const by = me.by
  const end = hold && { ticket: hold.request.ticket, epoch: hold.epoch, by }
  const pod = { name: 'new', uid: `pod-${state.seq}` }
  const retry = { ...me, ticket: ticketOf(10_000 + state.seq), by: { ...by, pod } }
  const watched = { ms: 1, beat: -1, unchangedMs: 1 }
  const does = {
    acquire: () => appended(grantOrQueue(state, me, HEARTBEAT)),
    try: () => appended(grant(state, me)),
    retry: () => appended(grant(state, retry)),
    withdraw: () => appended(withdraw(state, me, 'cancelled')),
    release: () => end && { kind: 'released' as const, ...end },
    force: () => force(state, (waiter ?? hold)?.request.ticket ?? '', 'stuck', by),
    'take over': () => hold && remove(state, holderSubject(hold), 'gone', by),
    drop: () => waiter && remove(state, waiterSubject(waiter), 'gone', by),
    record: () => end && { kind: 'watched' as const, ticket: end.ticket, from: state.seq, watched, by },
  } satisfies Record<Act['does'], () => LockEvent | undefined>
  return does[act]()
}

const replay = (log: StoredEvent[], from: LockState = EMPTY): LockState => log.reduce(fold, from)

describe('the fold of the events', () => {
  test('has only holders that go together, and epochs only grow', () => {
    fc.assert(
      fc.property(acts, (script) => {
        let epoch = 0
        let state = EMPTY
        for (const event of play(script)) {
          state = fold(state, event)
          expect(goTogether(state.holders.map(({ request }) => request))).toBe(true)
          if (event.kind !== 'granted') continue
          expect(state.holders.at(-1)?.epoch).toBeGreaterThan(epoch)
          epoch = state.holders.at(-1)!.epoch
        }
      }),
    )
  })

  test('serves waiters by priority and in their order, and lets nobody in past those whom that would keep out', () => {
    fc.assert(
      fc.property(acts, (script) => {
        const log = play(script)
        for (const [index, event] of log.entries()) {
          if (event.kind !== 'granted' || event.replaces) continue
          const { queue, holders } = replay(log.slice(0, index))
          const [mine] = queue.filter(({ request }) => request.ticket === event.request.ticket)
          const ahead = queue.filter(
            ({ request, seq }) =>
              mine === undefined ||
              request.priority > mine.request.priority ||
              (request.priority === mine.request.priority && seq < mine.seq),
          )
          const inside = [...holders, ...ahead].map(({ request }) => request)
          expect(goTogether([...inside, event.request])).toBe(true)
        }
      }),
    )
  })

  test('leaves nobody waiting at the head whom the holders would admit', () => {
    fc.assert(
      fc.property(acts, (script) => {
        const state = replay(play(script))
        const head = state.queue[0]?.request
        if (!head) return
        const admitted = goTogether([...state.holders.map(({ request }) => request), head])
        expect('append' in grant(state, head)).toBe(admitted)
      }),
    )
  })

  test('has no ticket twice', () => {
    fc.assert(
      fc.property(acts, (script) => {
        const { holders, queue } = replay(play(script))
        const tickets = [...holders, ...queue].map(({ request }) => request.ticket)
        expect(new Set(tickets).size).toBe(tickets.length)
      }),
    )
  })

  test('is the same from any snapshot, through the files', () => {
    fc.assert(
      fc.property(acts, fc.nat(60), (script, cut) => {
        const log = play(script).map((event) =>
          parseEvent(formatEvent(event, event.seq, event.at), event.seq, 'event'),
        )
        const before = replay(log.slice(0, cut))
        const snapshot = parseSnapshot(formatSnapshot(before), before.seq, 'snapshot')
        expect(replay(log.slice(cut), snapshot)).toEqual({ ...replay(play(script)), v: 1 })
      }),
    )
  })

  test('refuses events that cannot follow', () => {
    const [me, other] = [requestOf(0, 1), requestOf(1, 2)]
    const by = me.by
    const at = (seq: number, event: LockEvent): StoredEvent => ({ v: 1, seq, at: '', ...event })
    const held = fold(EMPTY, at(1, { kind: 'granted', request: me }))
    const impossible: StoredEvent[] = [
      at(3, { kind: 'queued', request: other, heartbeat: HEARTBEAT }),
      at(2, { kind: 'granted', request: other }),
      at(2, { kind: 'queued', request: me, heartbeat: HEARTBEAT }),
      at(2, { kind: 'released', ticket: other.ticket, epoch: 1, by }),
      at(2, { kind: 'released', ticket: me.ticket, epoch: 7, by }),
      at(2, { kind: 'withdrawn', ticket: other.ticket, why: '' }),
    ]
    for (const event of impossible) expect(() => fold(held, event)).toThrow(ImpossibleEvent)
  })

  test('refuses grants that do not go with the holders', () => {
    const at = (seq: number, request: Request): StoredEvent => ({
      v: 1,
      seq,
      at: '',
      kind: 'granted',
      request,
    })
    const cases: [Terms[], Terms][] = [
      [[SHARED], EXCLUSIVE],
      [[EXCLUSIVE], SHARED],
      [[SHARED, SHARED], counting(9)],
      [[counting(2), counting(2)], counting(2)],
      [[counting(2)], counting(3)],
      [[counting(3)], counting(2)],
      [[counting(2)], SHARED],
    ]
    for (const [held, next] of cases) {
      const state = held.reduce((now, terms, n) => fold(now, at(n + 1, requestOf(n, n + 1, 0, terms))), EMPTY)
      const request = requestOf(9, 9, 0, next)
      expect(() => fold(state, at(held.length + 1, request))).toThrow(ImpossibleEvent)
      expect(grant(state, request)).toEqual({ done: undefined })
    }
  })

  test('gives an unknown limit no way in: one belongs to counting requests alone', () => {
    for (const terms of [
      { mode: 'counting' },
      { mode: 'shared', limit: 3 },
      { mode: 'counting', limit: 0 },
    ] as Terms[]) {
      const text = formatEvent({ kind: 'granted', request: requestOf(0, 1, 0, terms) }, 1, '')
      expect(() => parseEvent(text, 1, 'event')).toThrow(expect.objectContaining({ code: 'LOCK_DAMAGED' }))
    }
  })

  test('counts time that two observers watched at once only once', () => {
    const me = requestOf(0, 1)
    const by = me.by
    const watched = (seq: number, from: number, ms: number): StoredEvent => {
      const record = {
        kind: 'watched',
        ticket: me.ticket,
        watched: { ms, beat: -1, unchangedMs: ms },
      } as const
      return { v: 1, seq, at: '', from, by, ...record }
    }
    // The second began before the first was written down; the third began after.
    const twice = replay([
      { v: 1, seq: 1, at: '', kind: 'granted', request: me },
      watched(2, 1, 500),
      watched(3, 1, 900),
    ])
    expect(twice.holders[0]?.watched).toEqual({ ms: 500, beat: -1, unchangedMs: 500, until: 2 })
    const later = replay([watched(4, 2, 700)], twice)
    expect(later.holders[0]?.watched).toEqual({ ms: 700, beat: -1, unchangedMs: 700, until: 4 })
  })
})
