import { describe, expect, test } from 'vitest'
import { createWatch } from '../../src/locks/watch.ts'

const at = (ms: number, beat = -1, took = 0) => ({ startedAt: ms, endedAt: ms + took, beat })

describe('watched time', () => {
  test('is the sum of the intervals between reads', () => {
    const watch = createWatch(undefined, 5_000)
    for (const ms of [0, 1_000, 4_000]) watch.observe(at(ms))
    expect(watch.total().ms).toBe(4_000)
  })

  test('does not count a gap of more than 5 s, and goes on after it', () => {
    const watch = createWatch(undefined, 5_000)
    for (const ms of [0, 5_000, 10_001, 3_600_000, 3_601_000]) watch.observe(at(ms))
    expect(watch.total().ms).toBe(6_000)
  })

  test('does not count a read that hung', () => {
    const watch = createWatch(undefined, 5_000)
    watch.observe(at(0))
    watch.observe(at(1_000, -1, 60_000))
    watch.observe(at(61_500))
    watch.observe(at(62_500))
    expect(watch.total().ms).toBe(1_000)
  })

  test('does not count the time that a read took', () => {
    const watch = createWatch(undefined, 5_000)
    watch.observe(at(0, -1, 1_000))
    watch.observe(at(3_000, -1, 1_000))
    expect(watch.total().ms).toBe(2_000)
  })

  test('starts anew with each change of the heartbeat', () => {
    const watch = createWatch(undefined, 5_000)
    for (const [ms, beat] of [
      [0, 7],
      [1_000, 7],
      [2_000, 8],
      [5_000, 8],
    ] as const)
      watch.observe(at(ms, beat))
    expect(watch.total()).toEqual({ ms: 5_000, beat: 8, unchangedMs: 3_000 })
  })

  test('goes on from what another observer wrote down, where the heartbeat is still the same', () => {
    const recorded = { ms: 40_000, beat: 8, unchangedMs: 30_000, until: 5 }
    for (const [beat, unchangedMs] of [
      [8, 32_000],
      [9, 2_000],
    ] as const) {
      const watch = createWatch(recorded, 5_000)
      watch.observe(at(0, beat))
      watch.observe(at(2_000, beat))
      expect(watch.total()).toEqual({ ms: 42_000, beat, unchangedMs })
    }
  })
})
