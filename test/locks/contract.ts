/** What every backend of locks has to do: the protocol runs on nothing else. */
import { randomUUID } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import type { Event } from '../../src/events.ts'
import {
  acquire,
  describeLock,
  release,
  type AcquireOptions,
  type LockBackend,
  type Outcome,
} from '../../src/locks/index.ts'
import { whoIs } from '../../src/locks/say.ts'
import { FAST, fakeLiveness, identityOf, until } from './support.ts'

/** @param setUp gives, for one test, what opens the same place again and again, as different processes would */
export function locksContract(title: string, setUp: () => Promise<() => Promise<LockBackend>>): void {
  async function scene() {
    const open = await setUp()
    const name = `Deploy_${randomUUID()}`
    const locks = await open()
    const liveness = fakeLiveness()
    /** A task of the run `run` with a client of its own. */
    async function person(run: string, pod?: string) {
      const identity = identityOf(run, 'deploy', pod)
      const events: Event[] = []
      const abort = new AbortController()
      const own = await open()
      const common = { identity, emit: (event: Event) => void events.push(event) }
      const terms = { scope: 'run', policy: 'wait', timeoutMs: 30_000 } as const
      const acquiring = (options: Partial<AcquireOptions> = {}): Promise<Outcome> =>
        acquire(own, name, { ...common, ...terms, liveness, signal: abort.signal, tuning: FAST, ...options })
      const releasing = (epoch?: number) => release(own, name, { ...common, epoch })
      return { identity, events, abort, acquire: acquiring, release: releasing }
    }
    const state = () => describeLock(locks, name)
    const queue = async () => (await state()).queue.map(({ request }) => request.owner.name)
    const queued = (run: string) => until(async () => (await queue()).includes(run), `${run} to be queued`)
    const lock = locks.open(name)
    return { name, locks, lock, liveness, person, state, queue, queued }
  }

  describe(`locks: ${title}`, () => {
    it('are free before the first hold, and are not made by looking', async () => {
      const { name, locks, state, lock } = await scene()
      expect(await state()).toMatchObject({ seq: 0, holders: [], queue: [], ended: [] })
      expect(await lock.beats()).toEqual(new Map())
      expect(await locks.names()).not.toContain(name)
    })

    it('count each hold up, and remember how it ended', async () => {
      const { name, locks, person, state } = await scene()
      const [ann, bob] = [await person('ann'), await person('bob')]
      expect(await ann.acquire()).toMatchObject({ acquired: true, epoch: 1 })
      await ann.release(1)
      expect(await ann.release(1)).toMatchObject({ epoch: 1 })
      expect(await bob.acquire()).toMatchObject({ acquired: true, epoch: 3 })
      expect(await state()).toMatchObject({
        seq: 3,
        holders: [{ epoch: 3, request: { owner: { name: 'bob' } } }],
        ended: [{ epoch: 1, how: 'released' }],
      })
      expect(await locks.names()).toContain(name)
    })

    it('refuse names that cannot be folders', async () => {
      const { locks } = await scene()
      for (const name of ['../escape', '', '.hidden', 'a/b', 'x'.repeat(129)])
        expect(() => locks.open(name)).toThrow(expect.objectContaining({ code: 'UNSAFE_PATH' }))
    })

    it('keep locks with similar names apart', async () => {
      const { name, locks } = await scene()
      const similar = [`${name}-a`, `${name}_a`, `${name}.a`, `${name}-A`, `${name}.beats`, `${name}--a`]
      const common = { identity: identityOf('ann', 'deploy'), emit: () => {} }
      const terms = { scope: 'run', policy: 'fail', timeoutMs: 1, tuning: FAST } as const
      const signal = new AbortController().signal
      for (const other of similar) {
        const outcome = await acquire(locks, other, { ...common, ...terms, liveness: fakeLiveness(), signal })
        expect(outcome).toMatchObject({ acquired: true, epoch: 1 })
      }
      expect(await locks.names()).toEqual(expect.arrayContaining(similar))
    })

    it('are skipped and failed by policy, without a trace', async () => {
      const { person, state } = await scene()
      await (await person('ann')).acquire()
      const bob = await person('bob')
      expect(await bob.acquire({ policy: 'skip' })).toMatchObject({ acquired: false })
      await expect(bob.acquire({ policy: 'fail' })).rejects.toMatchObject({ code: 'LOCK_NOT_ACQUIRED' })
      expect(await state()).toMatchObject({ seq: 1, queue: [] })
    })

    it('are not released by others', async () => {
      const { person } = await scene()
      await (await person('ann')).acquire()
      await expect((await person('bob')).release(1)).rejects.toMatchObject({ code: 'LOCK_NOT_HELD' })
    })

    it('go to those who wait in their order, higher priority first', async () => {
      const { person, queue, queued } = await scene()
      const ann = await person('ann')
      await ann.acquire()
      const order: string[] = []
      const wait = async (run: string, priority: number): Promise<void> => {
        const waiter = await person(run)
        await waiter.acquire({ priority })
        order.push(run)
        await waiter.release()
      }
      const waits: Promise<void>[] = []
      for (const [run, priority] of [
        ['b', 0],
        ['c', 0],
        ['d', 5],
        ['e', 0],
      ] as const) {
        waits.push(wait(run, priority))
        await queued(run)
      }
      expect(await queue()).toEqual(['d', 'b', 'c', 'e'])
      await ann.release()
      await Promise.all(waits)
      expect(order).toEqual(['d', 'b', 'c', 'e'])
    })

    it('lose those who give up, or are told to, from the queue and from the heartbeats', async () => {
      const { person, lock, queue, queued } = await scene()
      await (await person('ann')).acquire()
      const [bob, eve] = [await person('bob'), await person('eve')]
      const waiting = eve.acquire()
      await queued('eve')
      await until(async () => (await lock.beats()).size === 1, 'eve to beat')
      await expect(bob.acquire({ timeoutMs: 200 })).rejects.toMatchObject({ code: 'LOCK_NOT_ACQUIRED' })
      eve.abort.abort(new Error('stopped'))
      await expect(waiting).rejects.toThrow('stopped')
      expect(await queue()).toEqual([])
      expect(await lock.beats()).toEqual(new Map())
    })

    it('are taken over from a holder that is gone, with the evidence', async () => {
      const { person, liveness, state } = await scene()
      await (await person('ann')).acquire()
      const bob = await person('bob')
      liveness.kill('ann')
      expect(await bob.acquire({ policy: 'skip' })).toMatchObject({ acquired: true, epoch: 3 })
      expect(await state()).toMatchObject({
        ended: [{ epoch: 1, how: 'taken-over', why: 'ann was deleted' }],
      })
      expect(bob.events).toContainEqual(expect.objectContaining({ event: 'lock-taken-over', epoch: 1 }))
      await expect((await person('ann')).release(1)).rejects.toMatchObject({ code: 'STALE_LOCK' })
    })

    it('lose a waiter that is gone to the one behind it', async () => {
      const { person, liveness, queue, queued, lock } = await scene()
      const ann = await person('ann')
      await ann.acquire()
      const [dead, eve] = [await person('dead'), await person('eve')]
      // What a killed process leaves: its place in the queue, and a heartbeat.
      const ticket = randomUUID()
      const owner = dead.identity.run
      const request = { ticket, owner, by: whoIs(dead.identity), mode: 'exclusive' as const, priority: 0 }
      await lock.change((state) =>
        state.queue.length > 0
          ? { done: undefined }
          : { append: { kind: 'queued', request, heartbeat: { everyMs: 1000, ttlMs: 60_000 } } },
      )
      const waiting = eve.acquire()
      await queued('eve')
      liveness.kill('dead-deploy')
      await until(async () => (await queue()).join() === 'eve', 'the dead one to be dropped')
      await ann.release()
      expect(await waiting).toMatchObject({ acquired: true })
    })

    it('have several holders where their modes go together', async () => {
      const { person, state } = await scene()
      const people = await Promise.all(['ann', 'bob', 'eve'].map((run) => person(run)))
      const two = { mode: 'counting', limit: 2, policy: 'skip' } as const
      const had = []
      for (const one of people) had.push((await one.acquire(two)).acquired)
      expect(had).toEqual([true, true, false])
      expect((await state()).holders.map(({ epoch }) => epoch)).toEqual([1, 2])
      await people[0]!.release()
      expect(await people[2]!.acquire(two)).toMatchObject({ acquired: true, epoch: 4 })
      for (const one of people.slice(1)) await one.release()
      const shared = people.map((one) => one.acquire({ mode: 'shared' }))
      expect(await Promise.all(shared)).toHaveLength(3)
      expect((await state()).holders).toHaveLength(3)
    })

    it('are had again by the same attempt, and by a new one with a new epoch', async () => {
      const { person } = await scene()
      const first = await person('ann', 'pod-1')
      expect(await first.acquire()).toMatchObject({ epoch: 1 })
      expect(await first.acquire()).toMatchObject({ epoch: 1 })
      expect(await (await person('ann', 'pod-2')).acquire()).toMatchObject({ epoch: 2 })
      await expect(first.release(1)).rejects.toMatchObject({ code: 'STALE_LOCK' })
    })

    it('show heartbeats that grow, and none of who is out', async () => {
      const { lock, person } = await scene()
      const ann = await person('ann')
      const outcome = await ann.acquire({ heartbeat: { everyMs: 20, ttlMs: 60_000 } })
      const { ticket } = outcome as Outcome & { acquired: true }
      const beating = lock.startBeating(ticket, 20)
      const beat = async () => (await lock.beats()).get(ticket) ?? -1
      await until(async () => (await beat()) >= 0, 'the first beat')
      const seen = await beat()
      await until(async () => (await beat()) > seen, 'a later beat')
      await beating.stop()
      expect(await lock.beats()).toEqual(new Map())
      const left = lock.startBeating(ticket, 60_000)
      await until(async () => (await beat()) >= 0, 'a beat')
      await ann.release()
      expect(await lock.beats()).toEqual(new Map())
      await left.stop()
    })

    it('are taken over from a holder whose promised heartbeat stopped', async () => {
      const { person, state } = await scene()
      await (await person('ann')).acquire({ heartbeat: { everyMs: 50, ttlMs: 400 } })
      const bob = await person('bob')
      expect(await bob.acquire()).toMatchObject({ acquired: true })
      expect((await state()).ended[0]).toMatchObject({
        how: 'taken-over',
        why: expect.stringContaining('no heartbeat'),
      })
    })

    it('take every change once, however many come at once', async () => {
      const { person, state, queue } = await scene()
      const ann = await person('ann')
      await ann.acquire()
      const names = Array.from({ length: 12 }, (_, n) => `p${n}`)
      const order: string[] = []
      const waits = names.map(async (run) => {
        const one = await person(run)
        await one.acquire()
        order.push(run)
        await one.release()
      })
      await until(async () => (await queue()).length === names.length, 'all to be queued')
      const places = await queue()
      await ann.release()
      await Promise.all(waits)
      expect(order).toEqual(places)
      // One grant and one release for ann; a place, a grant and a release for each other.
      expect(await state()).toMatchObject({ seq: 2 + 3 * names.length, holders: [], queue: [] })
    })

    it('end a change that never comes to an end as a defect', async () => {
      const { lock, person, state } = await scene()
      const ann = await person('ann')
      await ann.acquire()
      const { ticket } = (await state()).holders[0]!.request
      const watched = { ms: 0, beat: -1, unchangedMs: 0 }
      const by = whoIs(ann.identity)
      const endless = lock.change(() => ({ append: { kind: 'watched', ticket, from: 1, watched, by } }))
      await expect(endless).rejects.toMatchObject({ code: 'INTERNAL' })
    })
  })
}
