/** Locks as Leases on a real Tekton, and the probe that tells on two nodes whether a volume could keep them. */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { SERVICE_ACCOUNT } from '../../src/catalog/names.ts'
import { probeLocks } from '../../src/catalog/probe-locks.ts'
import { POD_TEMPLATE } from '../../src/catalog/sample.ts'
import { DEFAULTS } from '../../src/catalog/settings.ts'
import { leaseName } from '../../src/locks/lease/names.ts'
import type { Lease } from '../../src/platform/kube-leases.ts'
import { settingEnv } from '../../src/probe-locks/contract.ts'
import { contract as lockAcquire } from '../../src/steps/lock-acquire/contract.ts'
import { contract as lockRelease } from '../../src/steps/lock-release/contract.ts'
import { create, eventually, getJson, kubectl, type KubeItem } from './support/cluster.ts'
import { leaseState } from './support/leases.ts'
import { errorIn, eventsIn } from './support/logs.ts'
import { makeNamespace, type TestNamespace } from './support/namespace.ts'
import { cancelRun, PATIENT, pipeline, script, SHARED, succeeded, task } from './support/runs.ts'

const NAMESPACE = 'e2e-leases'
const NO_RIGHTS = 'no-rights'

let space: TestNamespace
let hosts: string[]
beforeAll(async () => {
  space = await makeNamespace(NAMESPACE)
  await create(NAMESPACE, { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: NO_RIGHTS } })
  const { items } = await getJson<{ items: KubeItem[] }>('', 'nodes')
  hosts = items.map((node) => node.metadata.labels['kubernetes.io/hostname']!)
  if (hosts.length < 2) throw new Error(`expected two nodes or more, found ${hosts.join(', ')}`)
})
afterAll(() => space?.remove())

/** Beats every 100 ms by the kernel's uptime, which is one clock for all pods, until the file says that it is enough. */
const BEAT = `#!/bin/sh
set -eu
mkdir -p "$BEATS"
n=0
while [ "$n" -lt 20 ] || [ ! -e "$ENOUGH" ]; do
  read -r now rest < /proc/uptime
  echo "$now" >> "$BEATS/$RUN"
  n=$((n + 1))
  sleep 0.1
done
`

/** A Task of the product that is told to use Leases, and has no volume at all. */
const onLeases = (
  contract: typeof lockAcquire | typeof lockRelease,
  params: Record<string, string>,
): object => ({
  name: contract.name,
  taskRef: { name: contract.name },
  params: Object.entries({ backend: 'lease', ...params }).map(([name, value]) => ({ name, value })),
})

/** Acquires in a Task, works in another, releases in `finally`. */
const underLease = (lock: string): object =>
  pipeline(
    [
      onLeases(lockAcquire, { name: lock }),
      task('work', {
        params: { run: '$(context.pipelineRun.name)' },
        steps: [
          script('beat', BEAT, {
            RUN: '$(params.run)',
            BEATS: `${SHARED}/beats/${lock}`,
            ENOUGH: `${SHARED}/enough-${lock}`,
          }),
        ],
        more: { runAfter: [lockAcquire.name] },
      }),
    ],
    { finally: [onLeases(lockRelease, { name: lock, epoch: '$(tasks.lock-acquire.results.epoch)' })] },
  )

const startOn = (node: number, spec: object): Promise<string> =>
  space.start('PipelineRun', {
    ...spec,
    taskRunTemplate: {
      serviceAccountName: SERVICE_ACCOUNT,
      podTemplate: { ...POD_TEMPLATE, nodeSelector: { 'kubernetes.io/hostname': hosts[node % 2] } },
    },
  })

const stateOf = (lock: string) => leaseState(NAMESPACE, lock)

/** When a run has beaten, in seconds of uptime. */
function beatsOf(lock: string, run: string): number[] {
  const file = join(space.volume, 'beats', lock, run)
  return existsSync(file) ? readFileSync(file, 'utf8').trimEnd().split('\n').map(Number) : []
}

const CANCELS = ['Cancelled', 'CancelledRunFinally', 'StoppedRunFinally']
const anyOf = <T>(items: readonly T[]): T => items[Math.floor(Math.random() * items.length)]!

describe('a lock that is a Lease', () => {
  // Who is cancelled while inside runs no `finally`, so the next has to take over; otherwise by any of the three ways.
  it.each([
    ['the one inside', 'Race_Inside', 'Cancelled'],
    ['one that waits', 'Race_Waiting', anyOf(CANCELS)],
  ])('has one of three runs inside at a time, while %s is cancelled', PATIENT, async (_, lock, how) => {
    const runs = await Promise.all([0, 1, 0].map((node) => startOn(node, underLease(lock))))
    await eventually('one is inside and two wait', async () => {
      const { holders, queue } = await stateOf(lock)
      const holder = holders[0]?.request.owner.name
      return (queue.length === 2 && holder && beatsOf(lock, holder).length > 0) || undefined
    })
    const holder = (await stateOf(lock)).holders[0]!.request.owner.name
    const victim = lock === 'Race_Inside' ? holder : anyOf(runs.filter((run) => run !== holder))
    await cancelRun(NAMESPACE, victim, how)
    writeFileSync(join(space.volume, `enough-${lock}`), '')
    const told = `${victim === holder ? 'inside' : 'waiting'}, ${victim} was cancelled by ${how}`
    console.log(told)
    for (const run of runs) {
      if (run === victim) await space.ended('PipelineRun', run)
      else await succeeded(space, run)
    }
    const inside = runs
      .map((run) => ({ run, beats: beatsOf(lock, run) }))
      .filter(({ beats }) => beats.length > 0)
      .sort((a, b) => a.beats[0]! - b.beats[0]!)
    const evidence = `${told}: ${JSON.stringify({ inside, state: await stateOf(lock) }, null, 2)}`
    expect(inside.length, evidence).toBeGreaterThanOrEqual(2)
    for (const [n, { beats }] of inside.entries())
      if (n > 0) expect(beats[0], evidence).toBeGreaterThan(inside[n - 1]!.beats.at(-1)!)
    // What a cancelled run left is for the next who comes.
    await succeeded(space, await startOn(1, underLease(lock)))
    const state = await stateOf(lock)
    expect(state, evidence).toMatchObject({ holders: [], queue: [] })
    const epochs = state.ended.map(({ epoch }) => epoch)
    expect(epochs, evidence).toEqual([...new Set(epochs)].sort((a, b) => b - a))
    const takenOver = state.ended.filter(({ how }) => how === 'taken-over').map(({ owner }) => owner.name)
    expect(takenOver, evidence).toEqual(victim === holder ? [victim] : [])
    const lease = await getJson<Lease>(NAMESPACE, 'lease', leaseName(lock))
    expect(lease.spec).toMatchObject({ leaseTransitions: epochs[0] })
  })

  it('is not to be had without the right to Leases, and the error names it', PATIENT, async () => {
    const { exitCode, log } = await space.runTask({
      serviceAccountName: NO_RIGHTS,
      workspaces: [],
      taskRef: { name: lockAcquire.name },
      params: [
        { name: 'name', value: 'refused' },
        { name: 'backend', value: 'lease' },
        { name: 'maxHold', value: '10m' },
      ],
    })
    expect(exitCode, log).toBe(45)
    expect(errorIn(log)).toMatchObject({
      code: 'LOCK_BACKEND_UNAVAILABLE',
      found: expect.stringContaining('cannot get resource "leases"') as string,
      hint: expect.stringContaining('Role of the maintenance bundle') as string,
    })
  })
})

interface Job {
  metadata: object
  spec: {
    template: { spec: { volumes: object[]; containers: { env: { name: string; value?: string }[] }[] } }
  }
}

/** Makes the Job and waits for its end. @returns whether it succeeded, and the logs of its pods */
async function runProbe(change: (job: Job) => void = () => {}): Promise<{ complete: boolean; log: string }> {
  const job = probeLocks(DEFAULTS) as Job
  change(job)
  const [name] = await create(NAMESPACE, job)
  const complete = await eventually('the probe has ended', async () => {
    const { status } = await getJson(NAMESPACE, name!)
    const end = status.conditions?.find(
      ({ type, status }) => ['Complete', 'Failed'].includes(type) && status === 'True',
    )
    return end && { ok: end.type === 'Complete' }
  })
  const selector = `batch.kubernetes.io/job-name=${name!.split('/')[1]}`
  const log = await kubectl('logs', '-n', NAMESPACE, '-l', selector, '--tail=-1', '--prefix=false')
  return { complete: complete.ok, log }
}

describe('the probe on two nodes', () => {
  const records = () => join(space.volume, '.shared-workspace/probes/across-nodes')

  it('says yes of a volume that excludes, and writes it there', PATIENT, async () => {
    const { complete, log } = await runProbe()
    expect(complete, log).toBe(true)
    expect(eventsIn(log, 'probed-across-nodes')).toHaveLength(2)
    const record = JSON.parse(readFileSync(join(records(), '0.0'), 'utf8')) as {
      sides: { node: string }[]
    }
    expect(record, log).toMatchObject({ exclusion: 'yes', races: 200, flock: 'excludes' })
    expect(new Set(record.sides.map(({ node }) => node)).size).toBe(2)
    console.log(JSON.stringify(record))
  })

  it('leaves it unknown where each pod has a volume of its own', PATIENT, async () => {
    mkdirSync(records(), { recursive: true })
    const before = readdirSync(records())
    const { complete, log } = await runProbe(({ spec: { template } }) => {
      template.spec.volumes = [{ name: 'shared', emptyDir: {} }]
      const { env } = template.spec.containers[0]!
      env.find(({ name }) => name === settingEnv('PATIENCE'))!.value = '20s'
    })
    expect(complete, log).toBe(false)
    expect(errorIn(log)).toMatchObject({
      message: expect.stringContaining('stays unknown: nothing was heard of the other side') as string,
      hint: expect.stringContaining('the same volume') as string,
    })
    expect(readdirSync(records())).toEqual(before)
  })

  it('has a volume refused of which it said no', PATIENT, async () => {
    const record = JSON.parse(readFileSync(join(records(), '0.0'), 'utf8')) as object
    const reasons = ['link(2): 7 of 200 names were taken by both nodes']
    writeFileSync(join(records(), '0.1'), JSON.stringify({ ...record, exclusion: 'no', reasons }))
    const acquire = (params: Record<string, string>) =>
      space.runTask({
        taskRef: { name: lockAcquire.name },
        params: Object.entries({ name: 'deploy', ...params }).map(([name, value]) => ({ name, value })),
      })
    const refused = await acquire({})
    expect(refused.exitCode, refused.log).toBe(25)
    expect(errorIn(refused.log)).toMatchObject({
      code: 'STORAGE_UNSAFE',
      found: expect.stringContaining(reasons[0]!) as string,
      hint: expect.stringContaining('backend: lease') as string,
    })
    const taken = await acquire({ backend: 'lease' })
    expect(taken.exitCode, taken.log).toBe(0)
  })
})
