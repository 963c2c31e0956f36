/**
 * Waiting in the queue of a lock. Only the head reads the log often and watches the holder. Whoever is behind
 * lists the heartbeats, which cost one listing and change whenever somebody enters or leaves the queue, and
 * watches the waiter ahead: so that a killed one is dropped by the next.
 */
import { monotonic, jitter, sleep } from '../platform/clock.ts'
import type { Verdict } from '../volume/liveness.ts'
import type { Acquisition } from './acquisition.ts'
import type { Beats } from './backend.ts'
import { grantOrQueue, mayRecord, ownHold, withdraw } from './decide.ts'
import type { Hold, LockState, Request, Waiter } from './format.ts'
import { createObserver, holderSubject, waiterSubject, type Observer, type Subject } from './observer.ts'
import { removeSubject } from './remove.ts'
import { notAcquired, whoHolds } from './say.ts'

/** What one reading showed. */
interface View {
  state: LockState
  beats: Beats
  /** 0 for the head of the queue, -1 where the ticket is not in it. */
  place: number
}

/** Waits for the turn of a ticket that is queued. @throws WorkspaceError LOCK_NOT_ACQUIRED, LIVENESS_UNKNOWN. */
export async function waitForTurn(acquisition: Acquisition): Promise<Hold> {
  const { me, lock, tuning, signal } = acquisition
  const beating = lock.startBeating(me.ticket, tuning.waiterHeartbeat.everyMs)
  const waiting = createWaiting(acquisition)
  const leave = async (why: string): Promise<void> => {
    await waiting.record().catch(nothingMore)
    await lock.change((state) => withdraw(state, me, why)).catch(nothingMore)
  }
  try {
    const hold = await waiting.untilGranted()
    if (hold.request.ticket !== me.ticket) await leave('another process of the task got the lock')
    return hold
  } catch (error) {
    await leave(signal.aborted ? 'cancelled' : error instanceof Error ? error.message : 'failed')
    // What a sleep throws only says that there was an abort.
    throw signal.aborted ? signal.reason : error
  } finally {
    // Last: the file that vanishes tells those behind to read the log.
    await beating.stop().catch(nothingMore)
  }
}

/** What failed already is what the user should hear of, not what failed in cleaning up after it. */
function nothingMore(): void {}

function createWaiting(acquisition: Acquisition) {
  const { me, lock, tuning, signal, emit, liveness, timeoutMs, waited } = acquisition
  let observer: Observer | undefined
  let needsBeats = true
  let recordAt = 0
  let tellAt = 0
  let told: string | undefined

  async function untilGranted(): Promise<Hold> {
    for (;;) {
      const view = await read()
      if (view.place < 0 || ownHold(view.state, me) || isFree(view)) {
        const entry = await lock.change((state) => grantOrQueue(state, me, tuning.waiterHeartbeat))
        if ('epoch' in entry) return entry
        continue
      }
      const verdict = observer?.verdict()
      if (observer && verdict?.state === 'gone') {
        await removeSubject(acquisition, observer.subject, verdict.evidence)
        continue
      }
      if (waited() >= timeoutMs)
        throw notAcquired(acquisition, view.state, view.place === 0 ? verdict : undefined)
      if (monotonic() >= recordAt) await record()
      tell(view, verdict)
      await (view.place === 0 ? pause(tuning.headPollMs) : untilSomethingChanges(view))
    }
  }

  async function read(): Promise<View> {
    const startedAt = monotonic()
    // Before the log: what changes in between shows in the next listing and is read then.
    const beats: Beats = needsBeats ? await lock.beats() : new Map()
    const state = await lock.read()
    const place = placeOf(me, state)
    const subject = subjectOf(state, place)
    needsBeats = place > 0 || subject?.heartbeat !== undefined
    if (subject?.ticket !== observer?.subject.ticket || subject?.epoch !== observer?.subject.epoch) {
      observer = subject && createObserver(subject, state.seq, liveness, tuning)
      recordAt = monotonic() + tuning.recordEveryMs
    }
    observe(beats, startedAt)
    return { state, beats, place }
  }

  function observe(beats: Beats, startedAt: number): void {
    const beat = observer ? (beats.get(observer.subject.ticket) ?? -1) : -1
    observer?.observe({ startedAt, endedAt: monotonic(), beat })
  }

  /** Lists heartbeats until one came, one went, the waiter ahead is gone, or it is time to read the log anyway. */
  async function untilSomethingChanges(view: View): Promise<void> {
    const readAt = monotonic() + jitter(tuning.waiterReadMs)
    while (monotonic() < Math.min(readAt, recordAt) && waited() < timeoutMs) {
      await pause(tuning.waiterPollMs)
      const startedAt = monotonic()
      const beats = await lock.beats()
      observe(beats, startedAt)
      if (tickets(beats) !== tickets(view.beats) || observer?.verdict().state === 'gone') return
      tell(view, undefined)
    }
  }

  /** Writes down what was watched; whoever watches after this goes on from there, this waiter too. */
  async function record(): Promise<void> {
    recordAt = monotonic() + tuning.recordEveryMs
    const event = observer?.record(me.by)
    if (!event) return
    let tried = false
    const state = await lock.change((now) => {
      if (tried || !mayRecord(now, event)) return { done: now }
      tried = true
      return { append: event }
    })
    const subject = subjectOf(state, placeOf(me, state))
    observer = subject && createObserver(subject, state.seq, liveness, tuning)
  }

  function tell({ state, place }: View, verdict: Verdict | undefined): void {
    const note =
      verdict?.state === 'unknown' ? `whether the holder lives is unknown: ${verdict.why}` : undefined
    if (monotonic() < tellAt && (note === undefined || note === told)) return
    tellAt = monotonic() + tuning.tellEveryMs
    told = note
    const [since, holder] = [state.holders[0]?.at ?? '-', whoHolds(state)]
    emit({
      event: 'lock-waiting',
      lock: lock.name,
      holder,
      since,
      place: place + 1,
      waitedMs: waited(),
      ...(note ? { note } : {}),
    })
  }

  async function pause(ms: number): Promise<void> {
    signal.throwIfAborted()
    const left = Math.max(0, timeoutMs - waited())
    await sleep(Math.min(jitter(ms), left), signal)
  }

  return { untilGranted, record }
}

const placeOf = (me: Request, { queue }: LockState): number =>
  queue.findIndex(({ request }) => request.ticket === me.ticket)

/** Whom to watch: the head watches the holder, everybody else the waiter ahead. */
function subjectOf({ holders, queue }: LockState, place: number): Subject | undefined {
  const ahead: Waiter | undefined = place > 0 ? queue[place - 1] : undefined
  if (ahead) return waiterSubject(ahead)
  return place === 0 && holders[0] ? holderSubject(holders[0]) : undefined
}

const isFree = ({ state, place }: View): boolean => place === 0 && state.holders.length === 0

const tickets = (beats: Beats): string => [...beats.keys()].sort().join()
