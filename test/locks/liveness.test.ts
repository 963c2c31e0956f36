import { describe, expect, test } from 'vitest'
import { startBeating } from '../../src/locks/volume/heartbeat.ts'
import { describeLock, volumeLocks } from '../../src/locks/index.ts'
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
  const person = (run: string, tuning = {}) => actor(volume, liveness, identityOf(run, 'deploy'), tuning)
  const unknown = (name: string): void =>
    void liveness.verdicts.set(name, { state: 'unknown', why: 'HTTP 403' })
  const holder = async () => (await describeLock(volumeLocks(volume), LOCK)).holders[0]
  return { volume, liveness, person, unknown, holder }
}

describe('a holder that is gone', () => {
  test('loses the lock to the head of the queue, with the evidence', async () => {
    const { volume, liveness, person } = await scene()
    await person('ann').acquire()
    const bob = person('bob')
    const waiting = bob.acquire()
    await until(() => liveness.asked.includes('ann'), 'a question')
    liveness.kill('ann')
    expect(await waiting).toMatchObject({ acquired: true, epoch: 4 })
    const evidence = 'ann was deleted'
    const from = 'PipelineRun ci/ann (task deploy)'
    expect(bob.events).toContainEqual({ event: 'lock-taken-over', lock: LOCK, epoch: 1, from, evidence })
    expect(await storedEvents(volume)).toContainEqual(
      expect.objectContaining({ kind: 'taken-over', epoch: 1, evidence }),
    )
  })

  test('loses it also to those who do not wait', async () => {
    const { liveness, person } = await scene()
    for (const [before, after, policy] of [
      ['ann', 'bob', 'skip'],
      ['bob', 'eve', 'fail'],
    ] as const) {
      if (before === 'ann') await person(before).acquire()
      liveness.kill(before)
      expect(await person(after).acquire({ policy })).toMatchObject({ acquired: true })
    }
  })

  test('is taken over by one of many', async () => {
    const { volume, liveness, person } = await scene()
    await person('ann').acquire()
    liveness.kill('ann')
    const all = Array.from({ length: 6 }, (_, n) => person(`p${n}`))
    await Promise.all(all.map(async (one) => one.acquire().then(() => one.release())))
    const kinds = (await storedEvents(volume)).map((event) => event.kind)
    expect(kinds.filter((kind) => kind === 'taken-over')).toHaveLength(1)
    expect(
      all.flatMap((one) => one.events).filter((event) => event.event === 'lock-taken-over'),
    ).toHaveLength(1)
  })

  test('is asked after at most about once a second', async () => {
    const { liveness, person } = await scene()
    await person('ann').acquire()
    const bob = person('bob', { holderAsk: { firstMs: 1_000, maxMs: 2_000 } })
    await expect(bob.acquire({ timeoutMs: 2_500 })).rejects.toMatchObject({ code: 'LOCK_NOT_ACQUIRED' })
    const asked = liveness.asked.filter((name) => name === 'ann').length
    // Once before ann acquired, and then at 0 s, about 1 s, and perhaps 2.5 s.
    expect(asked).toBeGreaterThanOrEqual(3)
    expect(asked).toBeLessThanOrEqual(4)
  })
})

describe('a waiter that is gone', () => {
  test('is dropped by the next, on the word of the API', async () => {
    const { liveness, person, holder } = await scene()
    const ann = person('ann')
    await ann.acquire()
    const bob = person('bob')
    void bob.acquire({ tuning: { leastPollMs: 60_000, headPollMs: 60_000 } }).catch(() => {})
    await until(() => bob.events.length > 0, 'bob')
    liveness.kill('bob-deploy')
    const eve = person('eve')
    const waiting = eve.acquire()
    await until(() => eve.events.some((event) => event.event === 'waiter-dropped'), 'bob to be dropped')
    await ann.release()
    await waiting
    expect((await holder())?.request.owner.name).toBe('eve')
    bob.abort.abort(new Error('over'))
  })

  test('is dropped by the next when its heartbeat stops, whatever the API says', async () => {
    const { volume, person, holder } = await scene()
    const ann = person('ann')
    await ann.acquire()
    const bob = person('bob')
    // Promises a beat every 100 ms, and stands still after the first.
    const waiterHeartbeat = { everyMs: 100, ttlMs: 400 }
    let frozen = true
    injectFault((operation, path) => {
      if (operation === 'symlink' && frozen && /heartbeats\/.*\.[1-9]/.test(path)) throw new Error('frozen')
    })
    void bob
      .acquire({ tuning: { ...FAST, leastPollMs: 60_000, headPollMs: 60_000, waiterHeartbeat } })
      .catch(() => {})
    await until(() => bob.events.length > 0, 'bob')
    const eve = person('eve', { waiterHeartbeat: { everyMs: 60_000, ttlMs: 60_000 } })
    const waiting = eve.acquire()
    await until(() => eve.events.some((event) => event.event === 'waiter-dropped'), 'bob to be dropped')
    frozen = false
    injectFault(undefined)
    await ann.release()
    await waiting
    expect((await holder())?.request.owner.name).toBe('eve')
    const dropped = (await storedEvents(volume)).find((event) => event.kind === 'dropped')
    expect(dropped).toMatchObject({ evidence: expect.stringContaining('no heartbeat in') })
    bob.abort.abort(new Error('over'))
  })

  test('that beats is not dropped', async () => {
    const { volume, person } = await scene()
    const ann = person('ann')
    await ann.acquire()
    const tuning = { waiterHeartbeat: { everyMs: 50, ttlMs: 400 } }
    const [bob, eve] = [person('bob', tuning), person('eve', tuning)]
    const waits = [bob.acquire()]
    await until(() => bob.events.length > 0, 'bob')
    waits.push(eve.acquire())
    await new Promise((resolve) => setTimeout(resolve, 1_000))
    await ann.release()
    await waits[0]
    await bob.release()
    await waits[1]
    expect((await storedEvents(volume)).map((event) => event.kind)).not.toContain('dropped')
  })
})

describe('where liveness is unknown', () => {
  test('a lock is not stolen, and the deadline says why', async () => {
    const { person, unknown, holder } = await scene()
    await person('ann').acquire()
    unknown('ann')
    const bob = person('bob')
    await expect(bob.acquire({ timeoutMs: 500 })).rejects.toMatchObject({
      code: 'LIVENESS_UNKNOWN',
      found: expect.stringContaining('HTTP 403'),
      hint: expect.stringContaining('maxHold'),
    })
    expect(bob.events).toContainEqual(
      expect.objectContaining({ event: 'lock-waiting', note: expect.stringContaining('HTTP 403') }),
    )
    await expect(person('eve').acquire({ policy: 'fail' })).rejects.toMatchObject({
      code: 'LIVENESS_UNKNOWN',
    })
    expect(await person('eve').acquire({ policy: 'skip' })).toMatchObject({ acquired: false })
    expect((await holder())?.request.owner.name).toBe('ann')
  })

  test('a question that fails is no evidence', async () => {
    const { volume, person } = await scene()
    await person('ann').acquire()
    const identity = identityOf('bob', 'deploy')
    const failing = async (owner: { name: string }) => {
      if (owner.name === 'ann') throw new Error('connection reset')
      return { state: 'alive' as const, why: '' }
    }
    await expect(actor(volume, failing, identity).acquire({ timeoutMs: 200 })).rejects.toMatchObject({
      code: 'LIVENESS_UNKNOWN',
      found: expect.stringContaining('connection reset'),
    })
  })

  test('the lock is still had once it is released', async () => {
    const { person, unknown } = await scene()
    const ann = person('ann')
    await ann.acquire()
    unknown('ann')
    const bob = person('bob')
    const waiting = bob.acquire()
    await until(() => bob.events.length > 1, 'the note')
    await ann.release()
    expect(await waiting).toMatchObject({ acquired: true })
  })

  test('nobody acquires whose own end nobody could tell, unless they set maxHold', async () => {
    const { volume, person, unknown } = await scene()
    unknown('ann')
    await expect(person('ann').acquire()).rejects.toMatchObject({
      code: 'LIVENESS_UNKNOWN',
      found: 'HTTP 403',
    })
    await expect(storedEvents(volume)).rejects.toThrow('ENOENT')
    expect(await person('ann').acquire({ maxHoldMs: 60_000 })).toMatchObject({ acquired: true })
  })
})

describe('maxHold', () => {
  test('ends a hold that an observer has watched for longer, though its owner lives', async () => {
    const { person } = await scene()
    await person('ann').acquire({ maxHoldMs: 500 })
    const bob = person('bob')
    const startedAt = performance.now()
    expect(await bob.acquire()).toMatchObject({ acquired: true })
    expect(performance.now() - startedAt).toBeGreaterThanOrEqual(500)
    expect(bob.events).toContainEqual(
      expect.objectContaining({
        event: 'lock-taken-over',
        evidence: expect.stringContaining('at most 0.5 s'),
      }),
    )
  })

  test('counts nothing while the volume is frozen', async () => {
    const { person } = await scene()
    await person('ann').acquire({ maxHoldMs: 300 })
    let freezes = 0
    const bob = person('bob', { maxGapMs: 100 })
    // Each second listing of the log hangs for longer than an interval may be.
    injectFault(async (operation, path) => {
      if (operation !== 'readdir' || !path.endsWith('/events') || freezes++ % 2 === 0) return
      await new Promise((resolve) => setTimeout(resolve, 150))
    })
    await expect(
      bob.acquire({ timeoutMs: 1_000 }).finally(() => injectFault(undefined)),
    ).rejects.toMatchObject({ code: 'LOCK_NOT_ACQUIRED' })
    expect(freezes).toBeGreaterThan(4)
  })

  test('adds up over waiters with short deadlines', async () => {
    const { volume, person } = await scene()
    await person('ann').acquire({ maxHoldMs: 600 })
    for (const name of ['b', 'c']) {
      await expect(person(name).acquire({ timeoutMs: 250 })).rejects.toMatchObject({
        code: 'LOCK_NOT_ACQUIRED',
      })
    }
    const sofar = (await storedEvents(volume)).flatMap((event) =>
      event.kind === 'watched' ? [event.watched.ms] : [],
    )
    expect(sofar).toHaveLength(2)
    expect(sofar[1]).toBeGreaterThan(sofar[0]!)
    expect(await person('d').acquire()).toMatchObject({ acquired: true })
  })

  test('is watched in writing, so that what a killed waiter has watched is not lost', async () => {
    const { volume, liveness, person } = await scene()
    await person('ann').acquire({ maxHoldMs: 5_000 })
    const waiting = person('bob', { recordEveryMs: 100 }).acquire()
    const watchedMs = async () => (await describeLock(volumeLocks(volume), LOCK)).holders[0]?.watched?.ms ?? 0
    await until(async () => (await watchedMs()) > 100, 'a record')
    const before = await watchedMs()
    await until(async () => (await watchedMs()) > before, 'another record')
    expect((await storedEvents(volume)).filter((event) => event.kind === 'watched').length).toBeGreaterThan(1)
    liveness.kill('ann')
    await waiting
  })
})

describe('a promised heartbeat of the holder', () => {
  test('keeps the lock while it beats, and loses it once it stops', async () => {
    const { volume, person, unknown } = await scene()
    unknown('ann')
    const heartbeat = { everyMs: 50, ttlMs: 500 }
    const held = await person('ann').acquire({ heartbeat })
    if (!held.acquired) throw new Error('held by nobody')
    const beating = startBeating(folderOf(volume, 'heartbeats'), held.ticket, heartbeat.everyMs)
    await expect(person('bob').acquire({ timeoutMs: 1_200 })).rejects.toMatchObject({
      code: 'LOCK_NOT_ACQUIRED',
    })
    await beating.stop()
    const eve = person('eve')
    expect(await eve.acquire()).toMatchObject({ acquired: true })
    expect(eve.events).toContainEqual(
      expect.objectContaining({
        event: 'lock-taken-over',
        evidence: expect.stringContaining('no heartbeat'),
      }),
    )
  })
})
