import { readdir } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import type { Event } from '../../src/events.ts'
import { describe as inWords } from '../../src/events.ts'
import { describeLock, forceRelease, formatLock, volumeLocks } from '../../src/locks/index.ts'
import { actor, fakeLiveness, folderOf, identityOf, LOCK, newVolume, storedEvents, until } from './support.ts'

async function scene() {
  const volume = await newVolume()
  const liveness = fakeLiveness()
  const locks = volumeLocks(volume)
  const person = (run: string) => actor(volume, liveness, identityOf(run, 'deploy'))
  const state = () => describeLock(locks, LOCK)
  const events: Event[] = []
  const force = (ticket: string, reason = 'it hangs') =>
    forceRelease(locks, LOCK, {
      identity: identityOf('admin', 'desk'),
      ticket,
      reason,
      emit: (event) => void events.push(event),
    })
  const hold = async (name: string): Promise<string> => {
    const held = await person(name).acquire()
    if (!held.acquired) throw new Error('held by nobody')
    return held.ticket
  }
  return { volume, liveness, person, state, events, force, hold }
}

describe('by force', () => {
  test('a hold ends, with its reason, and the next one has the lock', async () => {
    const { volume, person, state, events, force, hold } = await scene()
    const ticket = await hold('ann')
    const bob = person('bob')
    const waiting = bob.acquire()
    await until(async () => (await state()).queue.length === 1, 'bob')
    const holder = 'PipelineRun ci/ann (task deploy)'
    expect(await force(ticket)).toEqual({ epoch: 1, holder })
    expect(await waiting).toMatchObject({ acquired: true, epoch: 4 })
    expect(events).toEqual([
      { event: 'lock-forced', lock: LOCK, ticket, epoch: 1, holder, reason: 'it hangs' },
    ])
    expect(inWords(events[0]!)).toBe(
      `lock deploy: the hold with epoch 1 of ${holder} was ended by force: it hangs`,
    )
    expect(await storedEvents(volume)).toContainEqual(
      expect.objectContaining({ kind: 'forced', epoch: 1, reason: 'it hangs' }),
    )
    await expect(person('ann').release(1)).rejects.toMatchObject({
      code: 'STALE_LOCK',
      found: expect.stringContaining('by ci/admin-desk: it hangs'),
    })
  })

  test('a waiter leaves the queue, and its heartbeats go with it', async () => {
    const { volume, person, state, events, force, hold } = await scene()
    await hold('ann')
    const bob = person('bob')
    // As good as dead: it reads nothing more.
    const waiting = bob
      .acquire({
        tuning: {
          leastPollMs: 60_000,
          headPollMs: 60_000,
          waiterHeartbeat: { everyMs: 60_000, ttlMs: 60_000 },
        },
      })
      .catch(() => 'aborted')
    await until(async () => (await state()).queue.length === 1, 'bob')
    await until(async () => (await readdir(folderOf(volume, 'heartbeats'))).length === 1, 'its heartbeat')
    const { ticket } = (await state()).queue[0]!.request
    expect(await force(ticket)).toEqual({ epoch: undefined, holder: 'PipelineRun ci/bob (task deploy)' })
    expect((await state()).queue).toEqual([])
    expect(await readdir(folderOf(volume, 'heartbeats'))).toEqual([])
    expect(inWords(events[0]!)).toContain('the wait of PipelineRun ci/bob')
    bob.abort.abort(new Error('over'))
    await waiting
  })

  test('nothing happens without a reason', async () => {
    const { state, force, hold } = await scene()
    const ticket = await hold('ann')
    await expect(force(ticket, ' ')).rejects.toMatchObject({ code: 'USAGE' })
    expect((await state()).holders).toHaveLength(1)
  })

  test('nothing happens to a ticket that is not there, and what is there is said', async () => {
    const { force, hold } = await scene()
    await hold('ann')
    await expect(force('00000000-0000-4000-8000-000000000000')).rejects.toMatchObject({
      code: 'LOCK_NOT_HELD',
      found: expect.stringContaining('ci/ann'),
    })
  })

  test('nothing happens to who has the lock since, and repeating it is no error', async () => {
    const { person, state, events, force, hold } = await scene()
    const ticket = await hold('ann')
    await force(ticket)
    await hold('bob')
    expect(await force(ticket)).toMatchObject({ epoch: 1 })
    expect(events).toHaveLength(1)
    expect((await state()).holders).toMatchObject([{ request: { owner: { name: 'bob' } } }])
    const last = (await state()).holders[0]!.request.ticket
    await person('bob').release()
    await expect(force(last)).rejects.toMatchObject({
      code: 'LOCK_NOT_HELD',
      found: expect.stringContaining('released at'),
    })
  })
})

describe('a lock in words', () => {
  test('tells who holds it, who waits in which place, and how the last holds ended', async () => {
    const { liveness, person, state, hold } = await scene()
    await hold('ann')
    liveness.kill('ann')
    await hold('bob')
    await person('bob').release()
    const eve = await hold('eve')
    const zoe = person('zoe')
    const waiting = zoe.acquire({ mode: 'counting', limit: 2, priority: 5 })
    await until(async () => (await state()).queue.length === 1, 'zoe')
    const now = await state()
    const [held, waits, bobs, anns] = [now.holders[0]!, now.queue[0]!, now.ended[0]!, now.ended[1]!]
    expect(formatLock(LOCK, now).split('\n')).toEqual([
      'lock deploy: held, exclusive',
      'held by:',
      `  epoch 6  PipelineRun ci/eve (task deploy)  since ${held.at}  on node-a  ticket ${eve}`,
      'waiting:',
      `  1.  PipelineRun ci/zoe (task deploy)  since ${waits.at}  counting up to 2  priority 5  ticket ${waits.request.ticket}`,
      'before:',
      `  epoch 4  PipelineRun ci/bob  from ${bobs.since} to ${bobs.at}  released`,
      `  epoch 1  PipelineRun ci/ann  from ${anns.since} to ${anns.at}  taken-over by ci/bob-deploy: ann was deleted`,
    ])
    expect(Date.parse(bobs.since!)).toBeLessThanOrEqual(Date.parse(bobs.at))
    await person('eve').release()
    await waiting
  })

  test('is short where nobody has it', async () => {
    const { state } = await scene()
    expect(formatLock(LOCK, await state())).toBe('lock deploy: free')
  })
})
