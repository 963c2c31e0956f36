import type { Call, WorkerHistory } from '../history.ts'

/** What was done to a process, in microseconds of the same clock as the histories. */
export interface Fault {
  fault: 'kill' | 'pause' | 'cancel' | 'cut'
  worker: string
  from: number
  /** Of a pause or cut that is over. */
  until?: number
}

/** An entry of a pointer as it was left behind. */
export interface Left {
  lock: string
  name: string
  text: string
}

export interface History {
  workers: readonly WorkerHistory[]
  faults: readonly Fault[]
  left: readonly Left[]
  /** Processes that ended by themselves, and not well. */
  crashes: readonly { worker: string; why: string }[]
  /** What holders promise: a heartbeat more often than this. */
  ttlMs: number
}

/** What must never be, with the calls that show it. */
export interface Violation {
  rule:
    | 'epochs grow'
    | 'one holder'
    | 'no lost update'
    | 'fenced off'
    | 'what is published stays'
    | 'a file under the lock'
    | 'release of one’s own'
    | 'every wait ends'
    | 'no error'
  lock: string
  what: string
  evidence: readonly unknown[]
}

/** One hold of a lock, from the answer that gave it to its holder until the holder cannot count on it any more. */
export interface Hold {
  worker: string
  lock: string
  epoch: number
  /** When its event was about to be linked: no earlier than this it was granted. */
  granted: number
  from: number
  /** When its release began, or it was lost. */
  until: number
  /** When it was killed, or first was late with a heartbeat, if it was: from then on others may take the lock. */
  lost: number
  acquire: Call
  release: Call | undefined
}

export const ended = (call: Call): number => call.returned ?? Infinity
export const succeeded = (call: Call): boolean => call.answer !== undefined
