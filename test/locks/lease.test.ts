import { randomUUID } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { EMPTY, fold, REMEMBERED } from '../../src/locks/fold.ts'
import type { LockState, StoredEvent } from '../../src/locks/format.ts'
import { beatsName, leaseName } from '../../src/locks/lease/names.ts'
import { lockIn, requireRoom, stateIn, withState } from '../../src/locks/lease/state.ts'
import { whoIs } from '../../src/locks/say.ts'
import { identityOf } from './support.ts'

const AT = '2026-01-02T03:04:05.678Z'
const HEARTBEAT = { everyMs: 20_000, ttlMs: 60_000 }
/** What Kubernetes takes: a DNS subdomain. */
const SUBDOMAIN = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/
const lockName = fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/)
/** Few letters, so that names are alike. */
const similarName = fc.stringMatching(/^[aA][aA._-]{0,4}$/)

describe('the name of a Lease', () => {
  it('is one that Kubernetes takes', () => {
    fc.assert(
      fc.property(lockName, (lock) => {
        for (const name of [leaseName(lock), beatsName(lock)]) {
          expect(name).toMatch(SUBDOMAIN)
          expect(name.length).toBeLessThanOrEqual(253)
        }
      }),
    )
  })

  it('is another for each lock, and for its heartbeats', () => {
    fc.assert(
      fc.property(fc.uniqueArray(similarName, { minLength: 2, maxLength: 20 }), (locks) => {
        const names = locks.flatMap((lock) => [leaseName(lock), beatsName(lock)])
        expect(new Set(names).size).toBe(names.length)
      }),
    )
  })

  it('is the name of the lock for people, where that can be, and stays as it is', () => {
    expect(leaseName('deploy-staging')).toBe('shared-workspace-lock-deploy-staging')
    expect(leaseName('Deploy_Staging.')).toBe('shared-workspace-lock-deploy-staging.f629f2062c0e551b')
    expect(beatsName('deploy')).toBe('shared-workspace-lock-deploy.beats')
  })
})

const requestOf = (run: string) => {
  const identity = identityOf(run, 'deploy')
  const [owner, by] = [identity.run, whoIs(identity)]
  return { ticket: randomUUID(), owner, by, mode: 'exclusive' as const, priority: 0 }
}

type Bare<E> = E extends StoredEvent ? Omit<E, 'v' | 'seq' | 'at'> : never
const after = (state: LockState, event: Bare<StoredEvent>): LockState =>
  fold(state, { ...event, v: 1, seq: state.seq + 1, at: AT })

function held(run: string, state: LockState = EMPTY): LockState {
  return after(state, { kind: 'granted', request: requestOf(run) })
}

function released(state: LockState, why?: string): LockState {
  const { request, epoch } = state.holders[0]!
  const common = { ticket: request.ticket, epoch, by: request.by }
  return after(state, why ? { kind: 'forced', ...common, reason: why } : { kind: 'released', ...common })
}

const queued = (state: LockState, run: string): LockState =>
  after(state, { kind: 'queued', request: requestOf(run), heartbeat: HEARTBEAT })

describe('a Lease', () => {
  it('brings the state back as it was', () => {
    const state = queued(held('bob', released(held('ann'))), 'eve')
    const lease = withState(undefined, 'Deploy', state, AT)
    expect(stateIn(lease, 'Deploy')).toMatchObject({ ...state })
    expect(lockIn(lease)).toBe('Deploy')
    expect(stateIn(undefined, 'Deploy')).toEqual(EMPTY)
  })

  it('tells people and tools who holds it, and its epoch', () => {
    const state = held('bob', released(held('ann')))
    expect(withState(undefined, 'deploy', state, AT).spec).toEqual({
      holderIdentity: 'PipelineRun ci/bob (task deploy)',
      acquireTime: '2026-01-02T03:04:05.678000Z',
      renewTime: '2026-01-02T03:04:05.678000Z',
      leaseTransitions: 3,
    })
    const free = withState(undefined, 'deploy', released(state), AT).spec
    expect(free).toEqual({ renewTime: '2026-01-02T03:04:05.678000Z', leaseTransitions: 3 })
  })

  it('keeps what others wrote into it', () => {
    const made = withState(undefined, 'deploy', held('ann'), AT)
    const annotations = { ...made.metadata.annotations, team: 'shop' }
    const found = {
      ...made,
      metadata: { ...made.metadata, resourceVersion: '7', uid: 'u', annotations, labels: { team: 'shop' } },
    }
    const lease = withState(found, 'deploy', released(held('ann')), AT)
    expect(lease.metadata).toMatchObject({
      resourceVersion: '7',
      uid: 'u',
      annotations: { team: 'shop' },
      labels: { team: 'shop' },
    })
    expect(stateIn(lease, 'deploy').holders).toEqual([])
  })

  const STATE = 'shared-workspace/state'
  it.each<[string, Record<string, string> | undefined, string]>([
    ['has no annotations', undefined, 'LOCK_DAMAGED'],
    ['is of another lock', { 'shared-workspace/lock': 'other', [STATE]: '{}' }, 'LOCK_DAMAGED'],
    [
      'has a state that is cut short',
      { 'shared-workspace/lock': 'deploy', [STATE]: '{"v":1,' },
      'LOCK_DAMAGED',
    ],
    ['has half a state', { 'shared-workspace/lock': 'deploy', [STATE]: '{"v":1,"seq":1}' }, 'LOCK_DAMAGED'],
    [
      'is of a newer version',
      { 'shared-workspace/lock': 'deploy', [STATE]: '{"v":2}' },
      'FORMAT_UNSUPPORTED',
    ],
  ])('that %s stops everybody', (_, annotations, code) => {
    const lease = { metadata: { name: 'x', ...(annotations && { annotations }) } }
    expect(() => stateIn(lease, 'deploy')).toThrow(expect.objectContaining({ code }))
  })

  it('refuses more waiters than it can carry, and says how many bytes it takes', () => {
    let state = held('ann')
    for (let n = 0; n < 150; n++) state = queued(state, `run-${n}`)
    requireRoom('deploy', state)
    for (let n = 150; n < 600; n++) state = queued(state, `run-${n}`)
    expect(() => requireRoom('deploy', state)).toThrow(
      expect.objectContaining({
        code: 'LOCK_NOT_ACQUIRED',
        expected: expect.stringContaining('at most 196608 bytes'),
        found: expect.stringContaining('600 waiters'),
      }),
    )
  })

  it('drops the oldest history before it would be too large for Kubernetes', () => {
    let state = EMPTY
    for (let n = 0; n < REMEMBERED; n++) state = released(held(`run-${n}`, state), 'x'.repeat(20_000))
    const lease = withState(undefined, 'deploy', held('ann', state), AT)
    expect(Buffer.byteLength(JSON.stringify(lease))).toBeLessThan(256 * 1024)
    const read = stateIn(lease, 'deploy')
    expect(read.holders).toHaveLength(1)
    expect(read.ended.length).toBeGreaterThan(5)
    expect(read.ended[0]!.epoch).toBe(state.ended[0]!.epoch)
  })
})
