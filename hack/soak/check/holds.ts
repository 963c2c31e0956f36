/** The holds in a history. What counts is what a holder itself did: the log of the lock is not believed. */
import type { Call, WorkerHistory } from '../history.ts'
import { succeeded, type History, type Hold } from './types.ts'

/** All holds, in the order in which their holders got them. */
export function holdsOf(history: History): Hold[] {
  return history.workers.flatMap((worker) => holdsOfWorker(worker, history)).sort((a, b) => a.from - b.from)
}

function holdsOfWorker(history: WorkerHistory, { faults, ttlMs }: History): Hold[] {
  const { worker, calls, links, beats } = history
  const killedAt = faults.find((fault) => fault.worker === worker && fault.fault === 'kill')?.from ?? Infinity
  const releases = new Map(
    calls.filter(({ kind }) => kind === 'release').map((call) => [`${call.lock}@${call.epoch}`, call]),
  )
  const beatsOf = Map.groupBy(beats, ({ ticket }) => ticket)
  const linksOf = Map.groupBy(links, ({ lock, seq }) => `${lock}@${seq}`)
  return calls
    .filter((call) => call.kind === 'acquire' && succeeded(call))
    .map((acquire): Hold => {
      const { epoch = 0, ticket = '' } = acquire.answer!
      const key = `${acquire.lock}@${epoch}`
      const from = acquire.returned!
      const granted = linksOf.get(key)?.find(({ t }) => t >= acquire.invoked && t <= from)?.t
      const release = releases.get(key)
      const started = granted ?? acquire.invoked
      const brokenFrom = brokenAt(started, beatsOf.get(ticket) ?? [], ttlMs * 1000)
      const lost = Math.min(killedAt, brokenFrom)
      const until = Math.min(lost, release?.invoked ?? Infinity)
      return { worker, lock: acquire.lock, epoch, granted: started, from, until, lost, acquire, release }
    })
}

/**
 * When others may first have taken a hold over for want of a heartbeat. A beat shows some time between its start and
 * the start of the next one. So who has watched one beat for longer than the ttl has seen nothing between the start
 * of this beat and the start of the one after the next.
 */
function brokenAt(granted: number, beats: readonly { t: number; n: number }[], ttl: number): number {
  // A beat that failed is tried again under its number.
  const times = [
    granted,
    ...beats.filter((beat, at) => beat.t > granted && beat.n !== beats[at - 1]?.n).map(({ t }) => t),
  ]
  for (let at = 0; at < times.length; at++) {
    if ((times[at + 2] ?? Infinity) - times[at]! > ttl) return times[at]! + ttl
  }
  return Infinity
}

/** Calls of a kind by their lock. */
export function byLock(calls: readonly Call[], kind: Call['kind']): Map<string, Call[]> {
  return Map.groupBy(
    calls.filter((call) => call.kind === kind),
    ({ lock }) => lock,
  )
}
