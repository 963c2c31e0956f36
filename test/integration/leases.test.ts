/** Locks as Leases of a real kube-apiserver. */
import { mkdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { execa } from 'execa'
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import { acquire, describeLock, leaseLocks, release, type LockBackend } from '../../src/locks/index.ts'
import { leaseName } from '../../src/locks/lease/names.ts'
import { leasesIn } from '../../src/platform/kube-leases.ts'
import { listEntries } from '../../src/volume/publish.ts'
import { locksContract } from '../locks/contract.ts'
import { FAST, fakeLiveness, identityOf, newVolume, until } from '../locks/support.ts'
import type { WorkerOptions } from '../locks/worker.ts'
import { startApiServer, type ApiServer } from './support/api-server.ts'
import { firstTimes, startFaultyProxy, type FaultyProxy } from './support/faulty-proxy.ts'

const RULES = [
  {
    apiGroups: ['coordination.k8s.io'],
    resources: ['leases'],
    verbs: ['get', 'list', 'create', 'update', 'patch'],
  },
]

let api: ApiServer
let kubeconfig: string
// Where there is no test cluster on this machine yet, its binaries are built first.
beforeAll(async () => {
  api = await startApiServer()
  kubeconfig = await api.kubeconfig('runner')
}, 1_200_000)
afterAll(() => api?.stop())

locksContract('as Leases', async () => {
  const namespace = await api.namespace(RULES)
  return async () => leaseLocks(leasesIn(namespace, { kubeconfig }))
})

const terms = {
  scope: 'run',
  policy: 'wait',
  timeoutMs: 30_000,
  tuning: FAST,
  emit: () => {},
  signal: new AbortController().signal,
} as const
const get = (locks: LockBackend, run: string, more = {}) =>
  acquire(locks, 'deploy', {
    ...terms,
    identity: identityOf(run, 'deploy'),
    liveness: fakeLiveness(),
    ...more,
  })
const give = (locks: LockBackend, run: string) =>
  release(locks, 'deploy', { identity: identityOf(run, 'deploy'), epoch: undefined, emit: () => {} })

describe('processes that count under a Lease while some are killed', () => {
  it('lose no count', async () => {
    const volume = await newVolume()
    const namespace = await api.namespace(RULES)
    await mkdir(join(volume.layout.root, 'alive'))
    const [workers, each, kills] = [8, 6, 4]
    const start = (id: string) => {
      const options: WorkerOptions = {
        root: volume.layout.root,
        id,
        acquisitions: each,
        compactAfter: 0,
        lease: { namespace, kubeconfig },
      }
      const worker = join(import.meta.dirname, '../locks/worker.ts')
      return execa('node', [worker, JSON.stringify(options)], { reject: false, timeout: 200_000 })
    }
    const running = Array.from({ length: workers }, (_, n) => start(`w${n}`))
    for (let n = 0; n < kills; n++) {
      await new Promise((resolve) => setTimeout(resolve, 500 + Math.random() * 500))
      running[n]!.kill('SIGKILL')
      running.push(start(`r${n}`))
    }
    const results = await Promise.all(running)

    const failed = results.filter((result) => result.exitCode !== 0 && result.signal !== 'SIGKILL')
    expect(failed.map(({ shortMessage, stderr }) => `${shortMessage} ${stderr}`)).toEqual([])
    expect(results.some((result) => result.signal === 'SIGKILL')).toBe(true)
    const counter = join(volume.layout.root, 'counter')
    const counted = (await listEntries(counter)).filter((entry) => entry.n === 1)
    const values = await Promise.all(
      counted.map(async ({ name }) => Number(await readFile(join(counter, name), 'utf8'))),
    )
    expect(values).toEqual(values.map((_, index) => index + 1))
    expect(values.length).toBeGreaterThanOrEqual(workers * each)
    const locks = leaseLocks(leasesIn(namespace, { kubeconfig }))
    expect(await describeLock(locks, 'counter')).toMatchObject({ holders: [], queue: [] })
    expect(await locks.open('counter').beats()).toEqual(new Map())
  })
})

describe('an API that', () => {
  async function scene({ patienceMs = 5_000 } = {}) {
    const namespace = await api.namespace(RULES)
    const proxy: FaultyProxy = await startFaultyProxy(api.url)
    onTestFinished(() => proxy.stop())
    const proxied = await api.kubeconfig('runner', proxy.endpoint)
    const locks = leaseLocks(leasesIn(namespace, { kubeconfig: proxied, patienceMs }))
    const straight = leaseLocks(leasesIn(namespace, { kubeconfig }))
    return { namespace, proxy, locks, straight }
  }
  const writes = ({ method }: { method: string }) => method === 'POST' || method === 'PUT'

  it.each(['create', 'update'])('loses the answer to the %s has it done once', async (what) => {
    const { proxy, locks, straight } = await scene()
    if (what === 'update') {
      await get(locks, 'zoe')
      await give(locks, 'zoe')
    }
    const { seq } = await describeLock(straight, 'deploy')
    proxy.plan = firstTimes(1, writes, { loseAnswer: true })
    expect(await get(locks, 'ann')).toMatchObject({ acquired: true, epoch: seq + 1 })
    expect(await describeLock(straight, 'deploy')).toMatchObject({ seq: seq + 1 })
    proxy.plan = firstTimes(1, writes, { loseAnswer: true })
    expect(await give(locks, 'ann')).toMatchObject({ epoch: seq + 1 })
    expect(await describeLock(straight, 'deploy')).toMatchObject({ seq: seq + 2, holders: [] })
  })

  it('refuses for a moment only delays', async () => {
    const { proxy, locks } = await scene()
    for (const status of [429, 500, 503]) {
      proxy.plan = firstTimes(2, () => true, { refuse: { status } })
      expect(await get(locks, 'ann')).toMatchObject({ acquired: true })
      await give(locks, 'ann')
    }
  })

  it.each([401, 403, 410])('answers %i is said at once', async (status) => {
    const { proxy, locks } = await scene({ patienceMs: 60_000 })
    proxy.plan = () => ({ refuse: { status } })
    await expect(get(locks, 'ann')).rejects.toMatchObject({
      code: 'LOCK_BACKEND_UNAVAILABLE',
      found: expect.stringContaining(`HTTP ${status}`),
    })
    // The question, and that a ticket be withdrawn which may have come through; nothing again and again.
    expect(proxy.seen.length).toBeLessThanOrEqual(2)
  })

  it('does not answer any more is said after a while', async () => {
    const { proxy, locks } = await scene({ patienceMs: 100 })
    await proxy.stop()
    await expect(get(locks, 'ann')).rejects.toMatchObject({
      code: 'LOCK_BACKEND_UNAVAILABLE',
      found: expect.stringContaining('ECONNREFUSED'),
    })
  })

  it('may not be asked names the right that is missing', async () => {
    const namespace = await api.namespace([{ ...RULES[0], verbs: ['get'] }])
    const locks = leaseLocks(leasesIn(namespace, { kubeconfig }))
    await expect(get(locks, 'ann')).rejects.toMatchObject({
      code: 'LOCK_BACKEND_UNAVAILABLE',
      found: expect.stringContaining('cannot create resource "leases"'),
      hint: expect.stringContaining('Role'),
    })
  })

  it('has lost the Lease while a writer decided does not bring the old one back', async () => {
    const { namespace, proxy, locks, straight } = await scene()
    await get(locks, 'ann')
    const remove = () =>
      api.objects.deleteNamespacedCustomObject({
        group: 'coordination.k8s.io',
        version: 'v1',
        plural: 'leases',
        namespace,
        name: leaseName('deploy'),
      })
    // The update comes again and again while the Lease is removed.
    proxy.plan = ({ method }) => (method === 'PUT' ? { refuse: { status: 503 } } : undefined)
    const releasing = give(locks, 'ann')
    await until(() => proxy.seen.some(({ method }) => method === 'PUT'), 'the update')
    await remove()
    proxy.plan = () => undefined
    await expect(releasing).rejects.toMatchObject({ code: 'LOCK_NOT_HELD' })
    expect(await describeLock(straight, 'deploy')).toMatchObject({ seq: 0 })
  })

  it('is asked little: twice for a free lock, and twice to release it', async () => {
    const { proxy, locks } = await scene()
    await get(locks, 'ann')
    await give(locks, 'ann')
    proxy.seen.length = 0
    await get(locks, 'bob')
    expect(proxy.seen.map(({ method }) => method)).toEqual(['GET', 'PUT'])
    proxy.seen.length = 0
    await give(locks, 'bob')
    // The last looks for heartbeats.
    expect(proxy.seen.map(({ method }) => method)).toEqual(['GET', 'PUT', 'GET'])
  })
})

describe('a Lease', () => {
  it('shows kubectl who holds it', async () => {
    const namespace = await api.namespace(RULES)
    const leases = leasesIn(namespace, { kubeconfig })
    await get(leaseLocks(leases), 'ann')
    const found = await leases.get('shared-workspace-lock-deploy')
    expect(found?.spec).toMatchObject({
      holderIdentity: 'PipelineRun ci/ann (task deploy)',
      leaseTransitions: 1,
      acquireTime: expect.stringMatching(/Z$/),
    })
  })

  it('takes the longest and strangest names', async () => {
    const namespace = await api.namespace(RULES)
    const locks = leaseLocks(leasesIn(namespace, { kubeconfig }))
    for (const name of ['x'.repeat(128), `X${'._-'.repeat(42)}`, '0', 'a.b', 'A-', '1.']) {
      const lock = locks.open(name)
      const identity = identityOf('ann', 'deploy')
      const outcome = await acquire(locks, name, { ...terms, identity, liveness: fakeLiveness() })
      if (!outcome.acquired) throw new Error('the policy wait never skips')
      const beating = lock.startBeating(outcome.ticket, 10_000)
      await until(async () => (await lock.beats()).size === 1, 'a beat')
      await beating.stop()
    }
    expect(await locks.names()).toHaveLength(6)
  })

  it('loses the heartbeats that killed processes left, with the next that is removed', async () => {
    const namespace = await api.namespace(RULES)
    const locks = leaseLocks(leasesIn(namespace, { kubeconfig }))
    const lock = locks.open('deploy')
    const killed = '00000000-0000-4000-8000-000000000000'
    const left = lock.startBeating(killed, 60_000)
    await until(async () => (await lock.beats()).has(killed), 'a beat')
    await get(locks, 'ann')
    await give(locks, 'ann')
    expect(await lock.beats()).toEqual(new Map())
    await left.stop()
  })
})
