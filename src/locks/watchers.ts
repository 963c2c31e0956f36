/**
 * Watches everybody whose end lets a waiter go on: all holders for the head of the queue, the waiter ahead for
 * everybody else.
 */
import { monotonic } from '../platform/clock.ts'
import type { Verdict } from '../volume/liveness.ts'
import type { Acquisition } from './acquisition.ts'
import type { Beats } from './backend.ts'
import { mayRecord, placeOf } from './decide.ts'
import type { LockState, Request } from './format.ts'
import { createObserver, holderSubject, waiterSubject, type Observer, type Subject } from './observer.ts'
import type { Tuning } from './tuning.ts'

/** What is known of one of them. */
export interface Finding {
  subject: Subject
  verdict: Verdict
}

export interface Watchers {
  /** Goes on with those that are still there, begins with new ones and forgets the rest. */
  follow(state: LockState): void
  /** Whether one of them has promised to beat. */
  needBeats(): boolean
  observe(beats: Beats, startedAt: number): void
  findings(): Finding[]
  /** When the next record is due, on the monotonic clock. */
  recordAt(): number
  /** Writes down what was watched, so that whoever watches after this goes on from there: this waiter too. */
  record(): Promise<void>
}

interface Watcher {
  observer: Observer
  recordAt: number
}

export function createWatchers({ lock, me, liveness, tuning }: Acquisition): Watchers {
  let all: Watcher[] = []

  const begin = (subject: Subject, from: number, howMany: number): Watcher => ({
    observer: createObserver(subject, from, liveness, paced(tuning, howMany)),
    recordAt: monotonic() + tuning.recordEveryMs,
  })

  async function record(watcher: Watcher): Promise<void> {
    watcher.recordAt = monotonic() + tuning.recordEveryMs
    const event = watcher.observer.record(me.by)
    if (!event) return
    let tried = false
    const state = await lock.change((now) => {
      if (tried || !mayRecord(now, event)) return { done: now }
      tried = true
      return { append: event }
    })
    const subjects = subjectsOf(state, me)
    const subject = subjects.find((other) => isSame(other, watcher.observer.subject))
    if (subject) watcher.observer = begin(subject, state.seq, subjects.length).observer
  }

  return {
    follow(state) {
      const subjects = subjectsOf(state, me)
      all = subjects.map(
        (subject) =>
          all.find(({ observer }) => isSame(observer.subject, subject)) ??
          begin(subject, state.seq, subjects.length),
      )
    },
    needBeats: () => all.some(({ observer }) => observer.subject.heartbeat !== undefined),
    observe(beats, startedAt) {
      const endedAt = monotonic()
      for (const { observer } of all)
        observer.observe({ startedAt, endedAt, beat: beats.get(observer.subject.ticket) ?? -1 })
    },
    findings: () => all.map(({ observer }) => ({ subject: observer.subject, verdict: observer.verdict() })),
    recordAt: () => Math.min(...all.map((watcher) => watcher.recordAt)),
    async record() {
      for (const watcher of all) await record(watcher)
    },
  }
}

/** Whom to watch. */
function subjectsOf(state: LockState, me: Request): Subject[] {
  const place = placeOf(me, state)
  if (place < 0) return []
  return place === 0 ? state.holders.map(holderSubject) : [waiterSubject(state.queue[place - 1]!)]
}

const isSame = (a: Subject, b: Subject): boolean => a.ticket === b.ticket && a.epoch === b.epoch

/** Many holders are asked after as often in all as one alone. */
function paced(tuning: Tuning, holders: number): Tuning {
  const { firstMs, maxMs } = tuning.holderAsk
  return { ...tuning, holderAsk: { firstMs: firstMs * holders, maxMs: maxMs * holders } }
}

/** What stands most in the way of an answer: somebody of whom nothing tells whether they live. */
export const worst = (findings: readonly Finding[]): Finding | undefined =>
  findings.find(({ verdict }) => verdict.state === 'unknown') ?? findings[0]
