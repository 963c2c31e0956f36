/**
 * What the processes of a soak did and when: one file of JSON lines for each, on this machine's own disk, written
 * through at once, so that what a process has written is there whatever ends it. Times are microseconds of this
 * machine's monotonic clock, which all of its processes share.
 */
import { openSync, writeSync } from 'node:fs'
import { readdir, readFile } from 'node:fs/promises'
import { basename, join } from 'node:path'

export const now = (): number => Number(process.hrtime.bigint() / 1000n)

/**
 * What a process does in one of its lanes. `read` and `write` are the fenced pointer, `load` and `save` the plain file,
 * `look` is a reader of the pointer without a hold, `meddle` a release of somebody else's hold.
 */
export type Kind = 'acquire' | 'read' | 'write' | 'load' | 'save' | 'release' | 'look' | 'meddle'

/** The lock, whose round, the epoch of the hold if there is one, and what is written. */
export interface Invocation {
  kind: Kind
  lock: string
  round: number
  epoch?: number
  text?: string
}

/** What came of it: by kind, the epoch and ticket of a hold, the text that was read, the name of an entry. */
export interface Answer {
  epoch?: number
  ticket?: string
  text?: string
  entry?: string
}

/** An invocation with its outcome; without `returned` where the process had none before it ended. */
export interface Call extends Invocation {
  worker: string
  invoked: number
  returned?: number
  answer?: Answer
  error?: { code: string; why: string }
}

/** The start of an operation on the volume: an event about to be linked, a heartbeat about to be made. */
export interface Link {
  t: number
  lock: string
  seq: number
}
export interface Beat {
  t: number
  ticket: string
  n: number
}

/** A takeover, or a waiter that was dropped, by this process. */
export interface Told {
  t: number
  told: 'lock-taken-over' | 'waiter-dropped'
  lock: string
}

type Line =
  | ({ t: number; lane: number } & Invocation)
  | { t: number; lane: number; answer: Answer }
  | { t: number; lane: number; error: { code: string; why: string } }
  | { t: number; link: Omit<Link, 't'> }
  | { t: number; beat: Omit<Beat, 't'> }
  | Told

export interface WorkerHistory {
  worker: string
  calls: Call[]
  links: Link[]
  beats: Beat[]
  told: Told[]
}

export type Append = (line: Line) => void

/** Opens the history of a process for appending. */
export function openHistory(path: string): Append {
  const file = openSync(path, 'ax')
  return (line) => void writeSync(file, `${JSON.stringify(line)}\n`)
}

export async function readHistories(folder: string): Promise<WorkerHistory[]> {
  const names = await readdir(folder)
  return Promise.all(
    names.map(async (name) =>
      parseHistory(basename(name, '.jsonl'), await readFile(join(folder, name), 'utf8')),
    ),
  )
}

/** A lane does one thing after the other, so an outcome belongs to the lane's last invocation. */
export function parseHistory(worker: string, text: string): WorkerHistory {
  const history: WorkerHistory = { worker, calls: [], links: [], beats: [], told: [] }
  const open = new Map<number, Call>()
  // What follows the last newline is a line that the process did not come to finish.
  for (const line of text.split('\n').slice(0, -1)) {
    const entry = JSON.parse(line) as Line
    if ('link' in entry) history.links.push({ t: entry.t, ...entry.link })
    else if ('beat' in entry) history.beats.push({ t: entry.t, ...entry.beat })
    else if ('told' in entry) history.told.push(entry)
    else if ('kind' in entry) {
      const { t, lane, ...invocation } = entry
      const call: Call = { worker, invoked: t, ...invocation }
      open.set(lane, call)
      history.calls.push(call)
    } else {
      const { t, lane, ...outcome } = entry
      Object.assign(open.get(lane)!, { returned: t, ...outcome })
    }
  }
  return history
}
