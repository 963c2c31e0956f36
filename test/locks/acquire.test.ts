import { readdir } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import { acquire, describeLock, volumeLocks } from '../../src/locks/index.ts'
import { TUNING } from '../../src/locks/tuning.ts'
import { injectFault } from '../../src/platform/fs.ts'
import {
  actor,
  FAST,
  fakeLiveness,
  folderOf,
  identityOf,
  LOCK,
  newVolume,
  storedEvents,
  until,
} from './support.ts'

async function scene() {
  const volume = await newVolume()
  const liveness = fakeLiveness()
  const person = (run: string, task = 'deploy', pod?: string) =>
    actor(volume, liveness, identityOf(run, task, pod))
  const queue = async () =>
    (await describeLock(volumeLocks(volume), LOCK)).queue.map(({ request }) => request.owner.name)
  const kinds = async () => (await storedEvents(volume)).map((event) => event.kind)
  return { volume, liveness, person, queue, kinds }
}

describe('a free lock', () => {
  test('is acquired with one event, and its epoch grows with each hold', async () => {
    const { volume, person, kinds } = await scene()
    const ann = person('ann')
    const first = await ann.acquire()
    expect(first).toMatchObject({ acquired: true, epoch: 1, holder: 'PipelineRun ci/ann (task deploy)' })
    await ann.release(1)
    expect(await person('bob').acquire()).toMatchObject({ acquired: true, epoch: 3 })
    expect(await kinds()).toEqual(['granted', 'released', 'granted'])
    expect(await volumeLocks(volume).names()).toEqual([LOCK])
  })

  test('costs few file operations', async () => {
    const { person } = await scene()
    await person('ann').acquire()
    await person('ann').release()
    const operations: string[] = []
    injectFault((operation) => void operations.push(operation))
    await person('bob')
      .acquire()
      .finally(() => injectFault(undefined))
    expect(operations.slice(10)).toEqual([])
    expect(operations).toContain('symlink')
  })

  test('is refused a name that cannot be a folder', async () => {
    const { volume, liveness } = await scene()
    const ann = actor(volume, liveness, identityOf('ann', 'deploy'))
    const options = {
      identity: ann.identity,
      scope: 'run',
      policy: 'fail',
      timeoutMs: 1,
      liveness,
      emit: () => {},
      signal: ann.abort.signal,
    } as const
    await expect(acquire(volumeLocks(volume), '../escape', options)).rejects.toMatchObject({
      code: 'UNSAFE_PATH',
    })
  })
})

describe('a held lock', () => {
  test('is skipped by policy, with its holder', async () => {
    const { person, queue } = await scene()
    await person('ann').acquire()
    const bob = person('bob')
    expect(await bob.acquire({ policy: 'skip' })).toMatchObject({
      acquired: false,
      holder: 'PipelineRun ci/ann (task deploy)',
    })
    expect(bob.events).toMatchObject([{ event: 'lock-skipped' }])
    expect(await queue()).toEqual([])
  })

  test('fails at once by policy', async () => {
    const { person } = await scene()
    await person('ann').acquire()
    await expect(person('bob').acquire({ policy: 'fail' })).rejects.toMatchObject({
      code: 'LOCK_NOT_ACQUIRED',
      found: expect.stringContaining('ci/ann (task deploy) with epoch 1 since'),
    })
  })

  test('fails after the deadline and leaves no ticket', async () => {
    const { volume, person, queue } = await scene()
    await person('ann').acquire()
    const startedAt = performance.now()
    await expect(person('bob').acquire({ timeoutMs: 200 })).rejects.toMatchObject({
      code: 'LOCK_NOT_ACQUIRED',
    })
    expect(performance.now() - startedAt).toBeGreaterThanOrEqual(199)
    expect(await queue()).toEqual([])
    expect(await readdir(folderOf(volume, 'heartbeats'))).toEqual([])
  })

  test('goes to waiters in the order in which they came, higher priority first', async () => {
    const { person, queue } = await scene()
    const ann = person('ann')
    await ann.acquire()
    const order: string[] = []
    const wait = async (name: string, priority: number): Promise<void> => {
      const waiter = person(name)
      await waiter.acquire({ priority })
      order.push(name)
      await waiter.release()
    }
    const waits: Promise<void>[] = []
    for (const [name, priority] of [
      ['b', 0],
      ['c', 0],
      ['d', 5],
      ['e', 0],
    ] as const) {
      waits.push(wait(name, priority))
      await until(async () => (await queue()).includes(name), `${name} to be queued`)
    }
    expect(await queue()).toEqual(['d', 'b', 'c', 'e'])
    await ann.release()
    await Promise.all(waits)
    expect(order).toEqual(['d', 'b', 'c', 'e'])
  })

  test('tells those who wait who holds it', async () => {
    const { person, queue } = await scene()
    const ann = person('ann')
    await ann.acquire()
    const [bob, eve] = [person('bob'), person('eve')]
    const waits = [bob.acquire()]
    await until(async () => (await queue()).length === 1, 'bob')
    waits.push(eve.acquire())
    await until(() => eve.events.length > 0, 'eve to be told')
    const told = { event: 'lock-waiting', lock: LOCK, holder: 'PipelineRun ci/ann (task deploy)' }
    expect(bob.events).toMatchObject([{ ...told, place: 1 }])
    expect(eve.events).toMatchObject([{ ...told, place: 2 }])
    await ann.release()
    await waits[0]
    await bob.release()
    await waits[1]
  })

  test('is not given to newcomers past those who wait', async () => {
    const { person, queue } = await scene()
    const ann = person('ann')
    await ann.acquire()
    const bob = person('bob')
    // Slow enough to be still in the queue when the lock is free.
    const slow = bob.acquire({ tuning: { leastPollMs: 1_000, headPollMs: 1_000 } })
    await until(async () => (await queue()).length === 1, 'bob')
    await ann.release()
    expect(await person('eve').acquire({ policy: 'skip' })).toMatchObject({
      acquired: false,
      holder: expect.stringContaining('next is PipelineRun ci/bob'),
    })
    expect(await slow).toMatchObject({ acquired: true })
  })
})

describe('a task that comes again', () => {
  test('keeps its hold from the same pod', async () => {
    const { person, kinds } = await scene()
    const first = await person('ann', 'deploy', 'pod-1').acquire()
    expect(await person('ann', 'deploy', 'pod-1').acquire({ policy: 'fail' })).toMatchObject({
      ...first,
      waitedMs: expect.any(Number),
    })
    expect(await kinds()).toEqual(['granted'])
  })

  test('gets a new epoch from a new pod, also past those who wait', async () => {
    const { person, queue, kinds } = await scene()
    await person('ann', 'deploy', 'pod-1').acquire()
    const bob = person('bob')
    const waiting = bob.acquire()
    await until(async () => (await queue()).length === 1, 'bob')
    const retried = person('ann', 'deploy', 'pod-2')
    expect(await retried.acquire()).toMatchObject({ acquired: true, epoch: 3 })
    expect(await kinds()).toEqual(['granted', 'queued', 'granted'])
    await expect(retried.release(1)).rejects.toMatchObject({
      code: 'STALE_LOCK',
      found: expect.stringContaining('retried'),
    })
    await retried.release(3)
    await waiting
  })

  test('leaves the ticket of its earlier pod behind', async () => {
    const { person, queue } = await scene()
    const ann = person('ann')
    await ann.acquire()
    const old = person('bob', 'deploy', 'pod-1')
    // As good as dead: it neither reads nor withdraws.
    const oldWait = old
      .acquire({ tuning: { leastPollMs: 60_000, headPollMs: 60_000 } })
      .catch(() => 'aborted')
    await until(async () => (await queue()).length === 1, 'the first pod')
    const fresh = person('bob', 'deploy', 'pod-2')
    const freshWait = fresh.acquire()
    await until(() => fresh.events.length > 0, 'the second pod')
    expect(await queue()).toEqual(['bob'])
    await ann.release()
    expect(await freshWait).toMatchObject({ acquired: true })
    old.abort.abort(new Error('over'))
    expect(await oldWait).toBe('aborted')
  })

  test('has to wait for another task of its run', async () => {
    const { person } = await scene()
    await person('ann', 'deploy').acquire()
    await expect(person('ann', 'check').acquire({ policy: 'fail' })).rejects.toMatchObject({
      code: 'LOCK_NOT_ACQUIRED',
    })
  })
})

describe('a waiter', () => {
  test('that is cancelled leaves no ticket', async () => {
    const { volume, person, queue, kinds } = await scene()
    await person('ann').acquire()
    const bob = person('bob')
    const waiting = bob.acquire()
    await until(async () => (await queue()).length === 1, 'bob')
    bob.abort.abort(new Error('stopped by SIGTERM'))
    await expect(waiting).rejects.toThrow('stopped by SIGTERM')
    expect(await queue()).toEqual([])
    expect(await kinds()).toEqual(['granted', 'queued', 'withdrawn'])
    expect(await readdir(folderOf(volume, 'heartbeats'))).toEqual([])
  })

  test('that is cancelled while it is granted the lock releases it', async () => {
    const { person, kinds } = await scene()
    const ann = person('ann')
    injectFault((operation, path) => {
      if (operation === 'symlink' && path.includes('/events/')) ann.abort.abort(new Error('stopped'))
    })
    await expect(ann.acquire().finally(() => injectFault(undefined))).rejects.toThrow('stopped')
    expect(await kinds()).toEqual(['granted', 'released'])
  })

  test('that was cancelled before it came leaves nothing', async () => {
    const { volume, person } = await scene()
    const ann = person('ann')
    ann.abort.abort(new Error('stopped'))
    await expect(ann.acquire()).rejects.toThrow('stopped')
    expect(await volumeLocks(volume).names()).toEqual([])
  })

  test('that is dropped by mistake queues again', async () => {
    const { volume, liveness, person, queue } = await scene()
    const ann = person('ann')
    await ann.acquire()
    const bob = person('bob')
    const waiting = bob.acquire()
    await until(async () => (await queue()).length === 1, 'bob')
    liveness.kill('bob-deploy')
    const eve = person('eve')
    const eveWaiting = eve.acquire()
    await until(() => eve.events.some((event) => event.event === 'waiter-dropped'), 'bob to be dropped')
    liveness.verdicts.clear()
    await until(async () => (await queue()).join() === 'eve,bob', 'bob to queue again')
    await ann.release()
    await eveWaiting
    await eve.release()
    expect(await waiting).toMatchObject({ acquired: true })
    expect(await storedEvents(volume)).toContainEqual(
      expect.objectContaining({ kind: 'dropped', evidence: 'bob-deploy was deleted' }),
    )
  })

  test('behind others notices that it is first, without reading the log all the time', async () => {
    const { person, queue } = await scene()
    const ann = person('ann')
    await ann.acquire()
    const bob = person('bob')
    const bobWaiting = bob.acquire({ tuning: { ...FAST, waiterHeartbeat: { everyMs: 100, ttlMs: 600_000 } } })
    await until(async () => (await queue()).length === 1, 'bob')
    const eve = person('eve')
    const eveWaiting = eve.acquire({ tuning: { ...FAST, waiterReadMs: 600_000 } })
    await until(() => eve.events.length > 0, 'eve to wait')
    expect(eve.events).toMatchObject([{ place: 2 }])
    await ann.release()
    await bobWaiting
    await bob.release()
    // Its deadline, after 20 s, would have it read the log once more.
    expect((await eveWaiting).waitedMs).toBeLessThan(15_000)
  })

  test('behind one whose heartbeat never showed notices that it is first all the same', async () => {
    const { person, queue } = await scene()
    const tuning = { ...FAST, waiterReadMs: 60_000, waiterHeartbeat: { everyMs: 60_000, ttlMs: 120_000 } }
    await person('ann').acquire()
    let beats = 0
    injectFault((operation, path) => {
      // Bob's, until eve waits as well.
      if (operation === 'symlink' && path.includes('/heartbeats/') && beats++ === 0)
        throw new Error('not now')
    })
    const bob = person('bob')
    const bobWaits = bob.acquire({ tuning })
    await until(async () => beats === 1 && (await queue()).length === 1, 'bob')
    const eveWaits = person('eve').acquire({ tuning })
    await until(async () => beats === 2 && (await queue()).length === 2, 'eve')
    injectFault(undefined)
    await person('ann').release()
    await bobWaits
    await bob.release()
    // Its deadline, after 20 s, would have it read the log once more.
    expect((await eveWaits).waitedMs).toBeLessThan(15_000)
  })

  test('behind others does at most 30 file operations a minute', async () => {
    const { volume, liveness, person, queue } = await scene()
    await person('ann').acquire()
    const bob = person('bob')
    // Stands still, but for its ticket.
    const ahead = bob
      .acquire({
        tuning: {
          leastPollMs: 60_000,
          headPollMs: 60_000,
          waiterHeartbeat: { everyMs: 60_000, ttlMs: 60_000 },
        },
      })
      .catch(() => {})
    await until(async () => (await queue()).length === 1, 'bob')
    // A minute of the product's pace in 2 s.
    const faster = (ms: number): number => ms / 30
    const eve = actor(volume, liveness, identityOf('eve', 'deploy'), {
      waiterPollMs: faster(TUNING.waiterPollMs),
      waiterReadMs: faster(TUNING.waiterReadMs),
      waiterHeartbeat: { everyMs: faster(TUNING.waiterHeartbeat.everyMs), ttlMs: 60_000 },
      waiterAsk: TUNING.waiterAsk,
    })
    const waiting = eve.acquire().catch(() => {})
    await until(() => eve.events.length > 0, 'eve')
    await new Promise((resolve) => setTimeout(resolve, 100))
    let operations = 0
    injectFault(() => void operations++)
    await new Promise((resolve) => setTimeout(resolve, 2_000))
    injectFault(undefined)
    expect(operations).toBeGreaterThan(5)
    expect(operations).toBeLessThanOrEqual(33)
    for (const { abort } of [bob, eve]) abort.abort(new Error('over'))
    await Promise.all([ahead, waiting])
  })
})
