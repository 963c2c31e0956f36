import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { createPace } from '../../src/locks/pace.ts'
import { TUNING } from '../../src/locks/tuning.ts'

beforeEach(() => void vi.useFakeTimers({ toFake: ['performance'] }))
afterEach(() => void vi.useRealTimers())

/** How often a waiter looks in `ms` at a place where it stays. */
function looks(place: number, ms: number): number {
  const pace = createPace(TUNING)
  let count = 0
  for (let passed = 0; passed < ms; count++) {
    pace.see(place)
    const pause = pace.pauseMs()
    passed += pause
    vi.advanceTimersByTime(pause)
  }
  return count
}

test.for([1, 2, 5, 30])('in a queue that stands still, place %i looks at most 30 times a minute', (place) => {
  expect(looks(place, 60_000)).toBeLessThanOrEqual(30)
})

test('the head looks often at first, and never less than four times a second', () => {
  expect(looks(0, 1000)).toBeGreaterThanOrEqual(40)
  expect(looks(0, 600_000)).toBeGreaterThanOrEqual(2400)
})

test('whoever is behind looks in time to follow a queue that moves fast, and seldom while it is far from its turn', () => {
  const pace = createPace(TUNING)
  for (const place of [9, 8, 7]) {
    pace.see(place)
    vi.advanceTimersByTime(100)
  }
  // Three places in 300 ms: the turn is 700 ms away.
  expect(pace.pauseMs()).toBeLessThanOrEqual(350)
  const slow = createPace(TUNING)
  for (const place of [9, 8, 7]) {
    slow.see(place)
    vi.advanceTimersByTime(60_000)
  }
  expect(slow.pauseMs()).toBe(TUNING.waiterPollMs)
})

test('who comes in ahead by priority tells nothing of how long a hold takes', () => {
  const pace = createPace(TUNING)
  pace.see(3)
  vi.advanceTimersByTime(10)
  pace.see(4)
  expect(pace.pauseMs()).toBe(2 * TUNING.leastPollMs)
})
