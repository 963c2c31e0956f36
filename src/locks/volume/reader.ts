/**
 * Reads the state of a lock: the newest snapshot and the events after it. Events up to the newest snapshot are
 * void: a writer that was slow may have linked one where compaction had made room. So the order of operations
 * is the protocol: events are listed, then read, and only then are the snapshots listed. An event that is read
 * although it is void was linked after a snapshot that covers it, which that listing then shows.
 */
import { jitter, monotonic, sleep } from '../../platform/clock.ts'
import * as fs from '../../platform/fs.ts'
import { readText } from '../../volume/short-text.ts'
import { EMPTY, fold, ImpossibleEvent } from '../fold.ts'
import { damaged, parseEvent, parseSnapshot, type LockState } from '../format.ts'
import { listNumbers, numbered, type LockPaths } from './paths.ts'

export interface Reader {
  /** The state as it is. @throws WorkspaceError LOCK_DAMAGED, FORMAT_UNSUPPORTED. */
  read(): Promise<LockState>
  /** The newest snapshot that the last read saw; 0 for none. */
  readonly snapshot: number
  /** How many void events it saw: what compaction has left. */
  readonly voids: number
}

const RETRY_MS = 100
const FILES_AT_ONCE = 64

/**
 * A reader that remembers the last state, so that it only reads what is new. A listing or an open may miss what
 * just changed; what is missing for `missingMs` is missing.
 */
export function createReader(paths: LockPaths, missingMs: number): Reader {
  let known: LockState | undefined
  let snapshot = 0
  let voids = 0

  /** One look at the volume; a string says what did not fit together. */
  async function look(): Promise<LockState | string> {
    known ??= await load(newestOf(await listNumbers(paths.snapshots)))
    if (!known) return 'the newest snapshot was removed'
    const state = known
    const listed = await listNumbers(paths.events)
    const numbers = listed.filter((seq) => seq > state.seq)
    const texts = await readEvents(numbers.map((seq) => numbered(paths.events, seq)))
    // A void event was never part of the log: not even its content matters before this.
    snapshot = newestOf(await listNumbers(paths.snapshots))
    voids = listed.filter((seq) => seq <= snapshot).length
    if (snapshot > state.seq) {
      known = await load(snapshot)
      return `snapshot ${snapshot} is newer`
    }
    // A log never shrinks: somebody has removed the lock under those who use it.
    if (Math.max(newestOf(listed), snapshot) < state.seq) return `event ${state.seq} was there and is gone`
    const gap = numbers.findIndex((seq, index) => seq !== state.seq + 1 + index || texts[index] === undefined)
    if (gap >= 0) return `event ${state.seq + 1 + gap} is missing`
    return (known = numbers.reduce((before, seq, index) => next(before, seq, texts[index] ?? ''), state))
  }

  function next(before: LockState, seq: number, text: string): LockState {
    const path = numbered(paths.events, seq)
    try {
      return fold(before, parseEvent(text, seq, path))
    } catch (error) {
      throw error instanceof ImpossibleEvent ? damaged(path, error.message, error) : error
    }
  }

  async function load(seq: number): Promise<LockState | undefined> {
    if (seq === 0) return EMPTY
    const path = numbered(paths.snapshots, seq)
    const text = await fs.readIfThere(path)
    return text === undefined ? undefined : parseSnapshot(text, seq, path)
  }

  return {
    get snapshot() {
      return snapshot
    },
    get voids() {
      return voids
    },
    async read() {
      let before: string | undefined
      let since = 0
      for (;;) {
        const state = await look()
        if (typeof state !== 'string') return state
        if (state !== before) [before, since] = [state, monotonic()]
        else if (monotonic() - since < missingMs) await sleep(jitter(RETRY_MS))
        else throw damaged(paths.events, state)
      }
    },
  }
}

const newestOf = (numbers: number[]): number => numbers.at(-1) ?? 0

/** A log that nobody could compact is long, and a process may only open so many files. */
async function readEvents(files: readonly string[]): Promise<(string | undefined)[]> {
  const texts: (string | undefined)[] = []
  for (let from = 0; from < files.length; from += FILES_AT_ONCE)
    texts.push(...(await Promise.all(files.slice(from, from + FILES_AT_ONCE).map(readText))))
  return texts
}
