import { describe, expect, test } from 'vitest'
import { check } from '../../hack/soak/check/check.ts'
import type { History } from '../../hack/soak/check/types.ts'
import { call, fault, history, hold } from './build.ts'

const rulesIn = (given: History): string[] => [...new Set(check(given).violations.map(({ rule }) => rule))]
const whatIn = (given: History): string[] => check(given).violations.map(({ what }) => what)

const STALE = { code: 'STALE_LOCK', why: 'it was taken over' }
/** Two holds, one after the other, each counting. */
const first = hold('a', { at: [0, 10, 110, 120], epoch: 1, wrote: '1@1' })
const second = hold('b', { at: [5, 130, 230, 240], epoch: 4, found: '1@1', wrote: '2@4' })
/** Gets the lock, beats, stands still from 400 on, and goes on at 3000: its second beat need never
 *  have been seen, so that it may be taken over from 1010 on. */
const stopped = (more: Partial<Parameters<typeof hold>[1]> = {}) =>
  hold('a', { at: [0, 10, 3100, 3110], epoch: 1, beats: [10, 310, 3050], error: STALE, ...more })

describe('a history without a violation', () => {
  test('is of holds one after the other', () => {
    const findings = check(history([first, second]))
    expect(findings.violations).toEqual([])
    expect(findings).toMatchObject({ acquisitions: 2, longestWaitMs: 125 })
  })

  test('may have a takeover from a holder that was killed', () => {
    const killed = hold('a', { at: [0, 10], epoch: 1 })
    const taker = hold('b', { at: [5, 300, 400, 410], epoch: 4, wrote: '1@4' })
    expect(whatIn(history([killed, taker], { faults: [fault('kill', 'a', 200)] }))).toEqual([])
  })

  test('may have a takeover from a holder that was stopped for longer than its ttl', () => {
    const taker = hold('b', { at: [5, 1400, 1500, 1510], epoch: 4, wrote: '1@4' })
    const paused = [fault('pause', 'a', 400, 3000)]
    const findings = check(history([stopped(), taker], { faults: paused }))
    expect(findings.violations).toEqual([])
    expect(findings).toMatchObject({ staleReleases: 1, faults: { pause: 1 } })
  })

  test('may have a takeover from a holder whose beat may have taken longer than its ttl to be seen', () => {
    const slow = hold('a', { at: [0, 10, 1500, 1510], epoch: 1, beats: [10, 700, 1300], error: STALE })
    const taker = hold('b', { at: [5, 1100, 1200, 1210], epoch: 4 })
    expect(whatIn(history([slow, taker]))).toEqual([])
  })

  test('may have what a writer was not told of, and may lack it', () => {
    const killed = hold('a', { at: [0, 10], epoch: 1 })
    killed.calls.push(call('a', 'write', [60], { epoch: 1, text: '1@1' }))
    const faults = [fault('kill', 'a', 100)]
    for (const [found, wrote] of [
      ['1@1', '2@4'],
      ['', '1@4'],
    ] as const) {
      const taker = hold('b', { at: [5, 200, 300, 310], epoch: 4, found, wrote })
      expect(whatIn(history([killed, taker], { faults }))).toEqual([])
    }
  })
})

describe('one holder at a time', () => {
  test('is violated by two that are both alive', () => {
    const early = hold('b', { at: [5, 60, 230, 240], epoch: 4 })
    expect(rulesIn(history([first, early]))).toContain('one holder')
  })

  test('is violated by a takeover before the ttl is over', () => {
    const taker = hold('b', { at: [5, 900, 990, 1000], epoch: 4 })
    expect(rulesIn(history([stopped(), taker]))).toEqual(['one holder'])
  })

  test('is violated by a takeover before the holder was killed', () => {
    const killed = hold('a', { at: [0, 10], epoch: 1 })
    const taker = hold('b', { at: [5, 150, 300, 310], epoch: 4 })
    expect(rulesIn(history([killed, taker], { faults: [fault('kill', 'a', 200)] }))).toEqual(['one holder'])
  })

  test('is violated by a cancelled process that runs on', () => {
    const cancelled = hold('a', { at: [0, 10, 400, 410], epoch: 1, error: STALE })
    const taker = hold('b', { at: [5, 150, 300, 310], epoch: 4 })
    const faults = [fault('cancel', 'a', 100), fault('kill', 'a', 500)]
    expect(rulesIn(history([cancelled, taker], { faults }))).toEqual(['one holder'])
  })

  test('is violated where a hold that beat all the time is taken away, even before anybody uses that', () => {
    const robbed = hold('a', { at: [0, 10, 900, 910], epoch: 1, error: STALE })
    expect(rulesIn(history([robbed]))).toEqual(['one holder'])
  })

  test('is not violated by holds of different locks', () => {
    const other = hold('b', { at: [5, 60, 230, 240], epoch: 4 })
    for (const part of [...other.calls, ...other.links]) part.lock = 'another'
    expect(whatIn(history([first, other]))).toEqual([])
  })
})

describe('epochs', () => {
  test('never go back', () => {
    const low = hold('b', { at: [125, 200, 300, 310], epoch: 1 })
    const high = hold('a', { at: [0, 10, 110, 120], epoch: 2 })
    expect(rulesIn(history([high, low]))).toEqual(['epochs grow'])
  })

  test('are given once', () => {
    const [one, other] = [
      hold('a', { at: [0, 100, 110, 120], epoch: 3 }),
      hold('b', { at: [0, 130, 140, 150], epoch: 3 }),
    ]
    expect(rulesIn(history([one, other]))).toEqual(['epochs grow'])
  })
})

describe('the fenced pointer', () => {
  test('loses no update', () => {
    const blind = hold('b', { at: [5, 130, 230, 240], epoch: 4, found: '', wrote: '1@4' })
    expect(rulesIn(history([first, blind]))).toEqual(['no lost update'])
  })

  test('gives every reader under a fence what was published before', () => {
    const blind = hold('b', { at: [5, 130, 230, 240], epoch: 4, found: '' })
    expect(rulesIn(history([first, blind]))).toEqual(['no lost update'])
  })

  test('gives nobody under a fence what a later epoch wrote', () => {
    const later = hold('c', { at: [5, 130, 230, 240], epoch: 9, found: '1@1', wrote: '2@9' })
    const late = call('b', 'read', [250, 260], { epoch: 4, answer: { text: '2@9' } })
    expect(rulesIn(history([first, later, late]))).toEqual(['fenced off'])
  })

  test('gives nothing that nobody wrote', () => {
    const dreamer = hold('b', { at: [5, 130, 230, 240], epoch: 4, found: '7@1' })
    expect(rulesIn(history([first, dreamer]))).toEqual(['no lost update'])
  })

  test('refuses, or hides, what a superseded holder writes', () => {
    // Its write was said to be published although its successor had read before and does not know of it.
    const late = stopped({ wrote: '1@1' })
    late.calls.find(({ kind }) => kind === 'write')!.invoked = 3_050_000
    const taker = hold('b', { at: [5, 1400, 1500, 1510], epoch: 4, wrote: '1@4' })
    expect(rulesIn(history([late, taker]))).toEqual(['no lost update'])
  })

  test('shows no reader an older entry after a newer one', () => {
    const looks = [
      call('c', 'look', [300, 310], { answer: { entry: '4.1', text: '2@4' } }),
      call('d', 'look', [320, 330], { answer: { entry: '1.1', text: '1@1' } }),
    ]
    expect(rulesIn(history([first, second, looks[0]!]))).toEqual([])
    expect(rulesIn(history([first, second, ...looks]))).toEqual(['fenced off'])
  })

  test('shows what was published to whoever looks after that', () => {
    const look = call('c', 'look', [300, 310], { answer: { entry: '1.1', text: '1@1' } })
    expect(rulesIn(history([first, second, look]))).toEqual(['fenced off'])
  })

  test('keeps what was published', () => {
    for (const left of [[], [{ lock: 'l', name: '1.1', text: '9@9' }]])
      expect(rulesIn(history([first], { left }))).toEqual(['what is published stays'])
  })
})

describe('a plain file under the lock', () => {
  const saved = call('a', 'save', [50, 60], { epoch: 1, text: '1@1' })
  const loaded = (text: string) => call('b', 'load', [140, 150], { epoch: 4, answer: { text } })

  test('is found as it was left', () => {
    expect(whatIn(history([first, second, saved, loaded('1@1')]))).toEqual([])
    expect(rulesIn(history([first, second, saved, loaded('')]))).toEqual(['a file under the lock'])
  })

  test('may be anything once a holder that was stopped has written to it late', () => {
    const late = call('a', 'save', [3050, 3060], { epoch: 1, text: '1@1' })
    const taker = hold('b', { at: [5, 1400, 1500, 1510], epoch: 4 })
    const good = call('b', 'save', [1420, 1430], { epoch: 4, text: '1@4' })
    const next = hold('c', { at: [3000, 3200, 3300, 3310], epoch: 8 })
    for (const text of ['1@1', '1@4']) {
      const load = call('c', 'load', [3210, 3220], { epoch: 8, answer: { text } })
      expect(whatIn(history([stopped(), taker, next, late, good, load]))).toEqual([])
    }
  })
})

describe('a release', () => {
  test('of a hold of another does not succeed', () => {
    const meddling = call('c', 'meddle', [50, 60], { epoch: 1 })
    expect(rulesIn(history([first, meddling]))).toEqual(['release of one’s own'])
    const refused = call('c', 'meddle', [50, 60], { epoch: 1, error: { code: 'LOCK_NOT_HELD', why: '' } })
    expect(whatIn(history([first, refused]))).toEqual([])
  })

  test('of a superseded hold is not said to be one', () => {
    const { calls, ...rest } = stopped()
    const unaware = {
      ...rest,
      calls: calls.map((one) => {
        const { error: _, ...others } = one
        return one.kind === 'release' ? { ...others, answer: {} } : one
      }),
    }
    const taker = hold('b', { at: [5, 1400, 1500, 1510], epoch: 4 })
    expect(rulesIn(history([unaware, taker]))).toEqual(['release of one’s own'])
  })
})

describe('every call', () => {
  const waiting = call('b', 'acquire', [5])
  const timeout = { code: 'LOCK_NOT_ACQUIRED', why: 'not within 60 s' }

  test('comes to an end, unless its process was killed', () => {
    expect(rulesIn(history([waiting]))).toEqual(['every wait ends'])
    expect(whatIn(history([waiting], { faults: [fault('kill', 'b', 50)] }))).toEqual([])
  })

  test('gets the lock in the end, unless its process was stopped meanwhile', () => {
    const late = call('b', 'acquire', [5, 60_005], { error: timeout })
    expect(rulesIn(history([late]))).toEqual(['every wait ends'])
    expect(whatIn(history([late], { faults: [fault('pause', 'b', 100, 2000)] }))).toEqual([])
    expect(rulesIn(history([late], { faults: [fault('pause', 'b', 70_000, 72_000)] }))).toEqual([
      'every wait ends',
    ])
  })

  test('fails only as it may', () => {
    const damaged = call('b', 'acquire', [5, 10], { error: { code: 'LOCK_DAMAGED', why: 'a gap' } })
    expect(rulesIn(history([damaged], { faults: [fault('cut', 'b', 0, 20)] }))).toEqual(['no error'])
    const io = call('b', 'release', [5, 10], { epoch: 1, error: { code: 'STORAGE_IO', why: 'EIO' } })
    expect(rulesIn(history([io]))).toEqual(['no error'])
    expect(whatIn(history([io], { faults: [fault('cut', 'b', 0, 20)] }))).toEqual([])
  })

  test('leaves its process running', () => {
    expect(rulesIn(history([], { crashes: [{ worker: 'a', why: 'ended with 1' }] }))).toEqual(['no error'])
  })
})
