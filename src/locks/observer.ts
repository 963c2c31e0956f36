/** Tells whether a holder, or the waiter ahead, is gone, by everything that may say so. */
import type { Owner } from '../identity.ts'
import { jitter, monotonic } from '../platform/clock.ts'
import type { Liveness, Verdict } from '../volume/liveness.ts'
import type { Heartbeat, Hold, LockEvent, Waiter, Watched, Who } from './format.ts'
import type { Tuning } from './tuning.ts'
import { createWatch, type Reading } from './watch.ts'

/** Who is observed, and what it promised. */
export interface Subject {
  ticket: string
  /** The epoch of a holder; undefined for a waiter. */
  epoch?: number
  owner: Owner
  heartbeat: Heartbeat | undefined
  maxHoldMs: number | undefined
  watched: Watched | undefined
}

export const holderSubject = ({ request, epoch, watched }: Hold): Subject => ({
  ticket: request.ticket,
  epoch,
  owner: request.owner,
  heartbeat: request.heartbeat,
  maxHoldMs: request.maxHoldMs,
  watched,
})

/** A waiter is its process: what counts is whether its TaskRun lives, whoever would own the hold. */
export const waiterSubject = ({ request, heartbeat, watched }: Waiter): Subject => ({
  ticket: request.ticket,
  owner: request.by.taskRun,
  heartbeat,
  maxHoldMs: undefined,
  watched,
})

export interface Observer {
  readonly subject: Subject
  observe(reading: Reading): void
  /** What is known now; liveness is asked in the background, at its own pace. */
  verdict(): Verdict
  /** Asks liveness and waits for the answer. */
  ask(): Promise<Verdict>
  /** What it has watched, where writing it down can help a later observer. */
  record(by: Who): (LockEvent & { kind: 'watched' }) | undefined
}

/** Observes `subject` as the log had it at event `from`. */
export function createObserver(subject: Subject, from: number, liveness: Liveness, tuning: Tuning): Observer {
  const watch = createWatch(subject.watched, tuning.maxGapMs)
  const asker = createAsker(liveness, subject.owner, subject.epoch ? tuning.holderAsk : tuning.waiterAsk)
  return {
    subject,
    observe: (reading) => watch.observe(reading),
    verdict: () => judge(subject, watch.total(), asker.latest()),
    ask: async () => judge(subject, watch.total(), await asker.ask()),
    record(by) {
      const watched = watch.total()
      const { heartbeat, maxHoldMs } = subject
      const suspicious = heartbeat !== undefined && watched.unchangedMs > 1.5 * heartbeat.everyMs
      const added = watched.ms > (subject.watched?.ms ?? 0)
      if (!added || (maxHoldMs === undefined && !suspicious)) return undefined
      return { kind: 'watched', ticket: subject.ticket, from, watched, by }
    },
  }
}

function judge(subject: Subject, watched: Omit<Watched, 'until'>, told: Verdict | undefined): Verdict {
  const { heartbeat, maxHoldMs } = subject
  if (told?.state === 'gone') return told
  if (heartbeat && watched.unchangedMs > heartbeat.ttlMs) {
    const promise = `promised every ${inSeconds(heartbeat.everyMs)}`
    return {
      state: 'gone',
      evidence: `no heartbeat in ${inSeconds(watched.unchangedMs)} of watching, ${promise}`,
    }
  }
  if (maxHoldMs !== undefined && watched.ms > maxHoldMs) {
    return {
      state: 'gone',
      evidence: `held for ${inSeconds(watched.ms)} of watching, at most ${inSeconds(maxHoldMs)} were asked for`,
    }
  }
  if (told?.state === 'unknown' && !heartbeat && maxHoldMs === undefined) return told
  return { state: 'alive', why: told?.state === 'alive' ? told.why : 'nothing says that it is gone' }
}

const inSeconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`

/** Asks again and again, but never twice at once and with growing pauses: each question costs API calls. */
function createAsker(liveness: Liveness, owner: Owner, { firstMs, maxMs }: Tuning['holderAsk']) {
  let latest: Verdict | undefined
  let asking: Promise<Verdict> | undefined
  let nextAt = 0
  let pauseMs = firstMs

  async function question(): Promise<Verdict> {
    try {
      latest = await liveness(owner)
    } catch (error) {
      latest = { state: 'unknown', why: error instanceof Error ? error.message : String(error) }
    }
    nextAt = monotonic() + jitter(pauseMs)
    pauseMs = Math.min(pauseMs * 1.5, maxMs)
    asking = undefined
    return latest
  }

  const ask = (): Promise<Verdict> => (asking ??= question())
  return {
    ask,
    /** The last answer, undefined before the first; asks where it is time to. An end is final. */
    latest(): Verdict | undefined {
      if (latest?.state !== 'gone' && monotonic() >= nextAt) void ask()
      return latest
    },
  }
}
