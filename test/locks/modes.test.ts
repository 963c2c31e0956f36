import { describe, expect, test } from 'vitest'
import type { AcquireOptions } from '../../src/locks/index.ts'
import { describeLock, volumeLocks } from '../../src/locks/index.ts'
import { actor, fakeLiveness, identityOf, LOCK, newVolume, until } from './support.ts'

const SHARED = { mode: 'shared' } as const
const counting = (limit: number) => ({ mode: 'counting', limit }) as const

async function scene() {
  const volume = await newVolume()
  const liveness = fakeLiveness()
  const person = (run: string, task = 'deploy', pod?: string, tuning = {}) =>
    actor(volume, liveness, identityOf(run, task, pod), tuning)
  const state = () => describeLock(volumeLocks(volume), LOCK)
  const queue = async () => (await state()).queue.map(({ request }) => request.owner.name)
  const holders = async () => (await state()).holders.map(({ request }) => request.owner.name)
  /** Begins to wait, and resolves once it is queued; `granted` resolves with its outcome. */
  const wait = async (name: string, options: Partial<AcquireOptions> = {}, tuning = {}) => {
    const waiter = person(name, 'deploy', undefined, tuning)
    const granted = waiter.acquire(options)
    await until(async () => (await queue()).includes(name), `${name} to be queued`)
    return { ...waiter, granted }
  }
  return { volume, liveness, person, wait, queue, holders }
}

describe('a shared lock', () => {
  test('has many holders, each with an epoch of its own', async () => {
    const { person, holders } = await scene()
    const epochs = await Promise.all(['ann', 'bob', 'eve'].map((name) => person(name).acquire(SHARED)))
    expect(new Set(epochs.map((outcome) => outcome.acquired && outcome.epoch)).size).toBe(3)
    expect((await holders()).sort()).toEqual(['ann', 'bob', 'eve'])
  })

  test('keeps an exclusive request out until the last of them has released', async () => {
    const { person, wait, holders } = await scene()
    for (const name of ['ann', 'bob']) await person(name).acquire(SHARED)
    const writer = await wait('eve')
    await person('ann').release()
    await expect(person('zoe').acquire({ policy: 'fail' })).rejects.toMatchObject({
      code: 'LOCK_NOT_ACQUIRED',
    })
    expect(await holders()).toEqual(['bob'])
    await person('bob').release()
    expect(await writer.granted).toMatchObject({ acquired: true })
    expect(await holders()).toEqual(['eve'])
  })

  test('is not given past an exclusive request that waits', async () => {
    const { person, wait, queue } = await scene()
    await person('ann').acquire(SHARED)
    const writer = await wait('bob')
    expect(await person('zoe').acquire({ ...SHARED, policy: 'skip' })).toMatchObject({ acquired: false })
    const reader = await wait('eve', SHARED)
    expect(await queue()).toEqual(['bob', 'eve'])
    await person('ann').release()
    await writer.granted
    await writer.release()
    expect(await reader.granted).toMatchObject({ acquired: true })
  })

  test('is given to all who wait side by side, though none of them releases', async () => {
    const { person, wait, holders } = await scene()
    await person('ann').acquire()
    const readers = [await wait('b', SHARED), await wait('c', SHARED), await wait('d', SHARED)]
    const writer = await wait('e')
    await person('ann').release()
    for (const reader of readers) expect(await reader.granted).toMatchObject({ acquired: true })
    expect((await holders()).sort()).toEqual(['b', 'c', 'd'])
    for (const reader of readers) await reader.release()
    expect(await writer.granted).toMatchObject({ acquired: true })
  })
})

describe('a counting lock', () => {
  test('has as many holders as its limit says', async () => {
    const { person, wait, holders } = await scene()
    for (const name of ['ann', 'bob']) await person(name).acquire(counting(2))
    const third = await wait('eve', counting(2))
    expect(third.events).not.toContainEqual(expect.objectContaining({ event: 'lock-acquired' }))
    await until(() => third.events.length > 0, 'eve to be told')
    expect(third.events[0]).toMatchObject({
      holder: 'PipelineRun ci/ann (task deploy) and another',
      place: 1,
    })
    await person('bob').release()
    await third.granted
    expect(await holders()).toEqual(['ann', 'eve'])
  })

  test('fills all of its places at once when several become free', async () => {
    const { person, wait, holders } = await scene()
    await person('ann').acquire()
    const waiters = [
      await wait('b', counting(2)),
      await wait('c', counting(2)),
      await wait('d', counting(2), { waiterReadMs: 60_000 }),
    ]
    await person('ann').release()
    await waiters[0]!.granted
    await waiters[1]!.granted
    expect((await holders()).sort()).toEqual(['b', 'c'])
    await waiters[1]!.release()
    await waiters[2]!.granted
    expect((await holders()).sort()).toEqual(['b', 'd'])
  })

  test('excludes holds that count up to another limit, and says what differs', async () => {
    const { person, wait } = await scene()
    await person('ann').acquire(counting(2))
    await expect(person('bob').acquire({ ...counting(3), policy: 'fail' })).rejects.toMatchObject({
      code: 'LOCK_NOT_ACQUIRED',
      expected: expect.stringContaining('counting up to 3'),
      found: expect.stringContaining('counting up to 2'),
      hint: expect.stringContaining('same limit'),
    })
    const other = await wait('bob', counting(3))
    await person('ann').release()
    expect(await other.granted).toMatchObject({ acquired: true })
  })

  test('loses any holder that is gone to the head of the queue, not only the first', async () => {
    const { liveness, person, wait, holders } = await scene()
    for (const name of ['ann', 'bob', 'eve']) await person(name).acquire(counting(3))
    const waiter = await wait('zoe', counting(3))
    liveness.kill('bob')
    await waiter.granted
    expect(await holders()).toEqual(['ann', 'eve', 'zoe'])
    expect(waiter.events).toContainEqual(expect.objectContaining({ event: 'lock-taken-over', epoch: 2 }))
  })

  test('is not skipped because of a holder that is gone', async () => {
    const { liveness, person } = await scene()
    for (const name of ['ann', 'bob']) await person(name).acquire(counting(2))
    liveness.kill('bob')
    expect(await person('eve').acquire({ ...counting(2), policy: 'skip' })).toMatchObject({ acquired: true })
  })

  test('names the holder of whom nothing tells whether it lives', async () => {
    const { liveness, person } = await scene()
    for (const name of ['ann', 'bob']) await person(name).acquire(counting(2))
    liveness.verdicts.set('bob', { state: 'unknown', why: 'HTTP 403' })
    await expect(person('eve').acquire({ ...counting(2), timeoutMs: 300 })).rejects.toMatchObject({
      code: 'LIVENESS_UNKNOWN',
      found: expect.stringMatching(/ci\/bob .* and another; HTTP 403/),
    })
  })
})

describe('a task that holds the lock', () => {
  test('does not have it ended by a command that it runs under the same lock', async () => {
    const { person } = await scene()
    await person('ann', 'deploy', 'pod-1').acquire()
    const heartbeat = { everyMs: 1000, ttlMs: 5000 }
    await expect(person('ann', 'deploy', 'pod-1').acquire({ heartbeat })).rejects.toMatchObject({
      code: 'USAGE',
      found: 'exclusive, with heartbeats',
    })
  })

  test('is told where it asks again on other terms, also as a new attempt', async () => {
    const { person } = await scene()
    await person('ann', 'deploy', 'pod-1').acquire(counting(2))
    for (const [pod, terms] of [
      ['pod-1', SHARED],
      ['pod-2', counting(3)],
    ] as const)
      await expect(person('ann', 'deploy', pod).acquire(terms)).rejects.toMatchObject({
        code: 'USAGE',
        expected: 'counting up to 2, as its hold with epoch 1',
      })
  })

  test('keeps its one place of a counting lock, and a new attempt takes it', async () => {
    const { person, holders } = await scene()
    await person('bob').acquire(counting(2))
    const first = await person('ann', 'deploy', 'pod-1').acquire(counting(2))
    expect(await person('ann', 'deploy', 'pod-1').acquire(counting(2))).toMatchObject({
      ...first,
      waitedMs: expect.any(Number),
    })
    expect(await person('ann', 'deploy', 'pod-2').acquire(counting(2))).toMatchObject({ epoch: 3 })
    expect(await holders()).toEqual(['bob', 'ann'])
  })
})

test('whoever waits behind others says at its deadline, too, that nothing tells whether the holder lives', async () => {
  const { liveness, person, wait } = await scene()
  await person('ann').acquire()
  liveness.verdicts.set('ann', { state: 'unknown', why: 'HTTP 403' })
  const first = await wait('bob')
  await expect(person('eve').acquire({ timeoutMs: 300 })).rejects.toMatchObject({
    code: 'LIVENESS_UNKNOWN',
    found: expect.stringContaining('HTTP 403'),
  })
  await person('ann').release()
  await first.granted
})

test.for<[string, Partial<AcquireOptions>]>([
  ['no time to wait', { timeoutMs: 0 }],
  ['a negative time to wait', { timeoutMs: -1 }],
  ['no end to the wait', { timeoutMs: Infinity }],
  ['no time to hold', { maxHoldMs: 0 }],
  ['10,000 days to hold', { maxHoldMs: 10_000 * 8.64e7 }],
  ['a time that is no number', { maxHoldMs: Number.NaN }],
  ['a heartbeat that never comes', { heartbeat: { everyMs: 0, ttlMs: 1000 } }],
  ['a ttl that the first pause outlasts', { heartbeat: { everyMs: 1000, ttlMs: 1000 } }],
  ['half a priority', { priority: 0.5 }],
  ['counting without a limit', { mode: 'counting' }],
  ['counting up to nothing', { mode: 'counting', limit: 0 }],
  ['a limit of what does not count', { mode: 'shared', limit: 2 }],
])('%s is refused', async ([, options]) => {
  const { volume, person } = await scene()
  await expect(person('ann').acquire(options)).rejects.toMatchObject({ code: 'USAGE' })
  expect(await volumeLocks(volume).names()).toEqual([])
})
