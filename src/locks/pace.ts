/**
 * How often a waiter looks. Its turn comes after as many hand-offs as there are places before it, and those before it
 * tell how long one takes: it looks a few times until then, however long that is. So a queue that moves fast is
 * followed fast, by those near its head most closely, and one that stands still costs next to nothing.
 */
import { monotonic } from '../platform/clock.ts'
import type { Tuning } from './tuning.ts'

/** Looks until the turn that is expected: the head's are what a hand-off takes, the others' must keep up with it. */
const [HEADS_LOOKS, OTHERS_LOOKS] = [50, 2]

export interface Pace {
  /** Tells which place was seen just now: 0 for the head. */
  see(place: number): void
  /** How long to pause before the next look. */
  pauseMs(): number
}

export function createPace({ leastPollMs, headPollMs, waiterPollMs }: Tuning): Pace {
  let last: number | undefined
  let movedAt = monotonic()
  let perPlaceMs = 0
  return {
    see(place) {
      if (place === last) return
      const now = monotonic()
      // Whoever comes in ahead, by priority, says nothing of how long a hold takes.
      if (last !== undefined && place < last) perPlaceMs = (now - movedAt) / (last - place)
      movedAt = now
      last = place
    },
    pauseMs() {
      const place = last ?? 0
      const expected = Math.max(perPlaceMs, monotonic() - movedAt) * Math.max(1, place)
      const [looks, least, most] =
        place === 0 ? [HEADS_LOOKS, leastPollMs, headPollMs] : [OTHERS_LOOKS, 2 * leastPollMs, waiterPollMs]
      return Math.min(most, Math.max(least, expected / looks))
    },
  }
}
