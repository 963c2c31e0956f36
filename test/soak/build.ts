/** Histories made by hand: what they need not say is as it should be. */
import type { Fault, History, Left } from '../../hack/soak/check/types.ts'
import type { Answer, Call, Invocation, WorkerHistory } from '../../hack/soak/history.ts'

export const TTL_MS = 1_000
/** Times in these histories are milliseconds. */
const us = (ms: number): number => ms * 1000

/** A call of `worker` from `start` to `end`; without `end` it never came back. */
export function call(
  worker: string,
  kind: Invocation['kind'],
  [start, end]: [start: number, end?: number],
  more: Partial<Omit<Call, 'answer'>> & { answer?: Answer } = {},
): Call {
  const outcome =
    end === undefined ? {} : { returned: us(end), ...(more.error ? {} : { answer: more.answer ?? {} }) }
  return { worker, kind, lock: 'l', round: 0, invoked: us(start), ...more, ...outcome }
}

export interface HoldOptions {
  /** When the lock was asked for, got, asked to be released, and released. */
  at: [acquire: number, acquired: number, release?: number, released?: number]
  epoch: number
  found?: string
  wrote?: string
  error?: { code: string; why: string }
  /** When it beat; by default in time. */
  beats?: number[]
}

/** A hold with all that a process does in it, evenly spread over its time. */
export function hold(worker: string, options: HoldOptions): WorkerHistory {
  const { at, epoch, found = '', wrote, error, beats } = options
  const [acquire, acquired, release, released] = at
  const end = release ?? acquired + 100
  const step = (n: number): number => acquired + ((end - acquired) * n) / 6
  const ticket = `${worker}-${epoch}`
  const calls = [
    call(worker, 'acquire', [acquire, acquired], { answer: { epoch, ticket } }),
    call(worker, 'read', [step(1), step(2)], { epoch, answer: { text: found } }),
  ]
  if (wrote !== undefined)
    calls.push(
      call(worker, 'write', [step(3), step(4)], { epoch, text: wrote, answer: { entry: `${epoch}.1` } }),
    )
  if (release !== undefined) {
    const span: [number, number?] = released === undefined ? [release] : [release, released]
    calls.push(call(worker, 'release', span, { epoch, ...(error && { error }) }))
  }
  const times =
    beats ?? Array.from({ length: Math.ceil((end - acquired) / 300) }, (_, n) => acquired + n * 300)
  return {
    worker,
    calls,
    links: [{ t: us((acquire + acquired) / 2), lock: 'l', seq: epoch }],
    beats: times.map((time, n) => ({ t: us(time), ticket, n })),
    told: [],
  }
}

export const fault = (kind: Fault['fault'], worker: string, from: number, until?: number): Fault => ({
  fault: kind,
  worker,
  from: us(from),
  ...(until === undefined ? {} : { until: us(until) }),
})

/** A history of these; what was written is there in the end, unless `left` says otherwise. */
export function history(
  parts: readonly (WorkerHistory | Call)[],
  more: { faults?: Fault[]; left?: Left[]; crashes?: History['crashes'] } = {},
): History {
  const workers = parts.map((part) =>
    'calls' in part ? part : { worker: part.worker, calls: [part], links: [], beats: [], told: [] },
  )
  const written = workers
    .flatMap(({ calls }) => calls.filter(({ kind }) => kind === 'write'))
    .flatMap(({ lock, text = '', answer }) => (answer?.entry ? [{ lock, name: answer.entry, text }] : []))
  return { workers, faults: [], left: written, crashes: [], ttlMs: TTL_MS, ...more }
}
