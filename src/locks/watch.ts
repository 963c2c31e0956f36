/**
 * Watched time: what an observer has itself seen pass on its own monotonic clock. It is the sum of the intervals
 * between successful reads that were at most `maxGapMs` apart: over a longer gap the volume may have been frozen
 * for the holder too. No clock of another machine takes part.
 */
import type { Watched } from './format.ts'

/** A successful read of the ticket, in monotonic milliseconds, and the heartbeat that it showed (-1: none). */
export interface Reading {
  startedAt: number
  endedAt: number
  beat: number
}

export interface Watch {
  observe(reading: Reading): void
  /** What was watched so far, including what others had recorded when this began. */
  total(): Omit<Watched, 'until'>
}

export function createWatch(recorded: Watched | undefined, maxGapMs: number): Watch {
  let last: Reading | undefined
  let { ms, beat, unchangedMs } = recorded ?? { ms: 0, beat: -1, unchangedMs: 0 }
  return {
    observe(reading) {
      const passed = last ? between(last, reading, maxGapMs) : 0
      ms += passed
      unchangedMs = reading.beat === beat ? unchangedMs + passed : 0
      beat = reading.beat
      last = reading
    },
    total: () => ({ ms, beat, unchangedMs }),
  }
}

/** Counts the least that can have passed, and takes the most for the gap: when in doubt the holder lives. */
function between(before: Reading, after: Reading, maxGapMs: number): number {
  if (after.endedAt - before.startedAt > maxGapMs) return 0
  return Math.max(0, after.startedAt - before.endedAt)
}
