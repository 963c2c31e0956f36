/**
 * Waiting in the queue of a lock. Only the head reads the log often and watches the holders. Whoever is behind
 * lists the heartbeats, which cost one listing and go when somebody leaves the queue, and watches the waiter ahead: so
 * that a killed one is dropped by the next.
 */
import { monotonic, jitter, sleep } from '../platform/clock.ts'
import type { Acquisition } from './acquisition.ts'
import type { Beats } from './backend.ts'
import { grantOrQueue, isGrantable, ownHold, placeOf } from './decide.ts'
import type { Hold, LockState, Request } from './format.ts'
import { leave } from './leave.ts'
import { createObserver, holderSubject } from './observer.ts'
import { removeSubject } from './remove.ts'
import { heldSince, notAcquired, whoHolds } from './say.ts'
import { createPace } from './pace.ts'
import { createWatchers, worst, type Finding } from './watchers.ts'

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
  const giveUp = async (why: string): Promise<void> => {
    await waiting.record().catch(nothingMore)
    await leave(acquisition, why)
  }
  try {
    const hold = await waiting.untilGranted()
    if (hold.request.ticket !== me.ticket) await giveUp('another process of the task got the lock')
    return hold
  } catch (error) {
    await giveUp(signal.aborted ? 'cancelled' : error instanceof Error ? error.message : 'failed')
    // What a sleep throws only says that there was an abort.
    throw signal.aborted ? signal.reason : error
  } finally {
    // Last: the file that vanishes tells those behind to read the log.
    await beating.stop().catch(nothingMore)
  }
}

/** As in leave.ts. */
function nothingMore(): void {}

function createWaiting(acquisition: Acquisition) {
  const { me, lock, tuning, signal, emit, liveness, timeoutMs, waited } = acquisition
  const watchers = createWatchers(acquisition)
  const pace = createPace(tuning)
  let needsBeats = true
  let tellAt = 0
  let told: string | undefined

  async function untilGranted(): Promise<Hold> {
    for (;;) {
      const view = await read()
      const { state, place } = view
      if (place < 0 || ownHold(state, me) || isGrantable(state, me)) {
        const entry = await lock.change((now) => grantOrQueue(now, me, tuning.waiterHeartbeat))
        if ('epoch' in entry) return entry
        continue
      }
      const findings = watchers.findings()
      if (await removeGone(findings)) continue
      if (waited() >= timeoutMs)
        throw notAcquired(acquisition, state, place === 0 ? worst(findings) : await askOnce(state))
      if (monotonic() >= watchers.recordAt()) await watchers.record()
      tell(view, findings)
      await (place === 0 ? pause(pace.pauseMs()) : untilSomethingChanges(view))
    }
  }

  async function read(): Promise<View> {
    const startedAt = monotonic()
    // Before the log: what changes in between shows in the next listing and is read then.
    const beats: Beats = needsBeats ? await lock.beats() : new Map()
    const state = await lock.read()
    watchers.follow(state)
    needsBeats = watchers.needBeats()
    watchers.observe(beats, startedAt)
    const place = placeOf(me, state)
    pace.see(place)
    return { state, beats, place }
  }

  async function removeGone(findings: readonly Finding[]): Promise<boolean> {
    for (const { subject, verdict } of findings) {
      if (verdict.state !== 'gone') continue
      await removeSubject(acquisition, subject, verdict.evidence)
      return true
    }
    return false
  }

  /** Whoever is not the head has not asked after the holder, and should still say whether it lives. */
  async function askOnce({ holders, seq }: LockState): Promise<Finding | undefined> {
    if (!holders[0]) return undefined
    const subject = holderSubject(holders[0])
    return { subject, verdict: await createObserver(subject, seq, liveness, tuning).ask() }
  }

  /** Lists heartbeats until one that matters went, the waiter ahead is gone, or it is time to read the log anyway. */
  async function untilSomethingChanges(view: View): Promise<void> {
    const readAt = monotonic() + jitter(tuning.waiterReadMs)
    // Also one whose heartbeat was not there yet: it could come and go between two listings.
    const matter = whoMatters(me, view)
    while (monotonic() < Math.min(readAt, watchers.recordAt()) && waited() < timeoutMs) {
      await pause(pace.pauseMs())
      const startedAt = monotonic()
      const beats = await lock.beats()
      watchers.observe(beats, startedAt)
      pace.see(Math.max(1, placeBy(beats, view)))
      const someoneIsGone = watchers.findings().some(({ verdict }) => verdict.state === 'gone')
      if (matter.some((ticket) => !beats.has(ticket)) || someoneIsGone) return
      tell(view, [])
    }
  }

  function tell({ state, place }: View, findings: readonly Finding[]): void {
    const verdict = place === 0 ? worst(findings)?.verdict : undefined
    const note =
      verdict?.state === 'unknown' ? `whether the holder lives is unknown: ${verdict.why}` : undefined
    if (monotonic() < tellAt && (note === undefined || note === told)) return
    tellAt = monotonic() + tuning.tellEveryMs
    told = note
    emit({
      event: 'lock-waiting',
      lock: lock.name,
      holder: whoHolds(state),
      since: heldSince(state),
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

  return { untilGranted, record: () => watchers.record() }
}

/** The place as the heartbeats tell it, without reading the log: whoever has left them was granted the lock, or left. */
function placeBy(beats: Beats, { state, place, beats: before }: View): number {
  const left = state.queue
    .slice(0, place)
    .filter(({ request: { ticket } }) => before.has(ticket) && !beats.has(ticket))
  return place - left.length
}

/**
 * Whose heartbeat goes when this waiter has to look: its own when somebody dropped it; that of the waiter ahead, whose
 * place it then has; and where it need not be alone, that of anybody ahead, with whom it may come in.
 */
function whoMatters(me: Request, { state, place }: View): string[] {
  const ahead = state.queue.slice(me.mode === 'exclusive' ? place - 1 : 0, place)
  return [me.ticket, ...ahead.map(({ request }) => request.ticket)]
}
