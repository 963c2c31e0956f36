/**
 * Locks on a real Tekton whose volume is a real CephFS, by a client of each node's own. Needs, besides the cluster,
 * `./run filesystem ceph up` and `./run filesystem ceph nodes`, else it is left out.
 */
import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs'
import { readdir, readlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import fc from 'fast-check'
import pLimit from 'p-limit'
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import { SERVICE_ACCOUNT } from '../../src/catalog/names.ts'
import { taskRef } from '../../src/catalog/pipelines/parts.ts'
import { POD_TEMPLATE } from '../../src/catalog/sample.ts'
import type { StoredEvent } from '../../src/locks/format.ts'
import { describeLock, volumeLocks } from '../../src/locks/index.ts'
import { contract as lockAcquire } from '../../src/steps/lock-acquire/contract.ts'
import { contract as lockRelease } from '../../src/steps/lock-release/contract.ts'
import { contract as withLock } from '../../src/steps/with-lock/contract.ts'
import { openVolume } from '../../src/volume/volume.ts'
import { cephOnNodes, killClient, mountAgain, stopKubelet } from './support/ceph.ts'
import { create, eventually, getJson, kubectl, type KubeItem } from './support/cluster.ts'
import { exitCodesOf } from './support/logs.ts'
import { makeNamespace, type TestNamespace } from './support/namespace.ts'
import { cancelRun, logOfRun, pipeline, script, step, succeeded, task, taskRunsOf } from './support/runs.ts'

const NAMESPACE = 'e2e-ceph-locks'
/** Twenty runs one after the other, each of three pods, on two busy cores. */
const LONG = { timeout: 45 * 60_000 }
const SEED = 20

const ceph = await cephOnNodes()

let space: TestNamespace
let hosts: string[]
/** Holders note their beats on the machine's own disk, since the CephFS may be what fails. */
const beats = join(tmpdir(), `shared-workspace-${NAMESPACE}-beats`)
beforeAll(async () => {
  if (!ceph) return
  space = await makeNamespace(NAMESPACE, 'restricted', { on: ceph })
  await makeBeats()
  const { items } = await getJson<{ items: KubeItem[] }>('', 'nodes')
  hosts = items.map((node) => node.metadata.labels['kubernetes.io/hostname']!)
})
afterAll(async () => {
  await space?.remove()
  if (ceph) await removeBeats()
})

async function makeBeats(): Promise<void> {
  await removeBeats()
  mkdirSync(beats)
  chmodSync(beats, 0o2777)
  const spec = { accessModes: ['ReadWriteMany'], storageClassName: '' }
  const metadata = { name: BEATS_VOLUME }
  const capacity = { storage: '1Gi' }
  const claimRef = { namespace: NAMESPACE, name: 'beats' }
  await create('', {
    apiVersion: 'v1',
    kind: 'PersistentVolume',
    metadata,
    spec: { ...spec, capacity, claimRef, hostPath: { path: beats } },
  })
  await create(NAMESPACE, {
    apiVersion: 'v1',
    kind: 'PersistentVolumeClaim',
    metadata: { name: 'beats' },
    spec: { ...spec, volumeName: BEATS_VOLUME, resources: { requests: capacity } },
  })
}
const BEATS_VOLUME = `${NAMESPACE}-beats`

async function removeBeats(): Promise<void> {
  await kubectl('delete', 'pv', BEATS_VOLUME, '--ignore-not-found', '--wait=false')
  rmSync(beats, { recursive: true, force: true })
}

/**
 * Appends the kernel's uptime, one clock for all pods of both nodes, to `/beats/<$1>` every 200 ms, `$2` times. With
 * `$3` it ignores SIGTERM.
 */
const BEAT = `[ -z "$3" ] || trap '' TERM
n=0
while [ "$n" -lt "$2" ]; do
  read -r now rest < /proc/uptime
  echo "$now" >> "/beats/$1"
  n=$((n + 1))
  sleep 0.2 || true
done
`

/** What the steps of a task that beats need; by a claim of the task, as Tekton allows a run one workspace's claim. */
const STEPS = { stepTemplate: { volumeMounts: [{ name: 'beats', mountPath: '/beats' }] } }
const withBeats = (work: { taskSpec?: object }): object => ({
  ...work,
  taskSpec: {
    ...work.taskSpec,
    volumes: [{ name: 'beats', persistentVolumeClaim: { claimName: 'beats' } }],
  },
})

interface Work {
  count: number
  stubborn?: boolean
}

/** Acquires in a Task, works in another, releases in `finally`. */
const acrossTasks = (lock: string, { count, stubborn = false }: Work): object =>
  pipeline(
    [
      { name: 'acquire', ...taskRef(lockAcquire, { name: lock, timeout: '40m' }) },
      withBeats(
        task('work', {
          params: { run: '$(context.pipelineRun.name)' },
          steps: [
            {
              ...script('beat', `#!/bin/sh\nset -- "$RUN" ${count} "${stubborn ? 'yes' : ''}"\n${BEAT}`, {
                RUN: '$(params.run)',
              }),
            },
          ],
          ...STEPS,
          more: { runAfter: ['acquire'] },
        }),
      ),
    ],
    {
      finally: [
        {
          name: 'release',
          ...taskRef(lockRelease, { name: lock, epoch: '$(tasks.acquire.results.epoch)' }),
        },
      ],
    },
  )

/** Works by a command under the lock, which beats on the volume for as long. */
const underLock = (lock: string, count: number): object =>
  pipeline([
    withBeats(
      task('work', {
        params: { run: '$(context.pipelineRun.name)' },
        steps: [
          step('work', withLock, { name: lock, script: BEAT, args: ['$(params.run)', String(count), ''] }),
        ],
        ...STEPS,
      }),
    ),
  ])

const startOn = (node: number, spec: object): Promise<string> =>
  space.start('PipelineRun', {
    ...spec,
    timeouts: { pipeline: '1h' },
    taskRunTemplate: {
      serviceAccountName: SERVICE_ACCOUNT,
      podTemplate: { ...POD_TEMPLATE, nodeSelector: { 'kubernetes.io/hostname': hosts[node % 2] } },
    },
  })

const uptime = (): number => Number(readFileSync('/proc/uptime', 'utf8').split(' ')[0])

function beatsOf(run: string): number[] {
  const file = join(beats, run)
  return existsSync(file) ? readFileSync(file, 'utf8').trimEnd().split('\n').map(Number) : []
}

/** Waits until a run is inside. @throws where it has ended before */
async function beating(run: string): Promise<void> {
  const ended = await eventually(
    `${run} beats`,
    async () => {
      if (beatsOf(run).length > 0) return 'beats'
      const { status } = await getJson(NAMESPACE, 'pipelinerun', run)
      return status?.completionTime && 'ended'
    },
    1800,
  )
  if (ended !== 'beats') throw new Error(`${run} was never inside\n${await logOfRun(NAMESPACE, run)}`)
}

/** When each was inside, by its own beats, in order. @throws where two were at once */
function insideApart(runs: string[]): { run: string; first: number; last: number }[] {
  const inside = runs
    .map((run) => ({ run, first: beatsOf(run)[0]!, last: beatsOf(run).at(-1)! }))
    .filter(({ first }) => first !== undefined)
    .sort((a, b) => a.first - b.first)
  for (const [n, hold] of inside.entries())
    if (n > 0) expect(hold.first, JSON.stringify(inside, null, 2)).toBeGreaterThan(inside[n - 1]!.last)
  return inside
}

const state = async (lock: string) => describeLock(volumeLocks(await openVolume(space.volume)), lock)

/** Reads a lock's log every half second until `stop` or the test's end, as the lock itself drops what is old. */
function follow(lock: string): { events: StoredEvent[]; stop: () => Promise<void> } {
  const folder = join(space.volume, 'locks', lock, 'events')
  const events: StoredEvent[] = []
  const stopping = new AbortController()
  async function read(): Promise<void> {
    const names = await readdir(folder).catch(() => [])
    const known = events.at(-1)?.seq ?? 0
    for (const name of names.filter((other) => Number(other) > known).sort()) {
      const text = await readlink(join(folder, name)).catch(() => undefined)
      if (text) events.push(JSON.parse(text) as StoredEvent)
    }
  }
  const ended = (async () => {
    while (!stopping.signal.aborted) {
      await read()
      await sleep(500)
    }
    await read()
  })()
  const stop = (): Promise<void> => {
    stopping.abort()
    return ended
  }
  onTestFinished(stop)
  return { events, stop }
}

/** When no pod of a run is left running, in milliseconds of the machine's clock; as late as the API is slow. */
async function lastPodGone(uid: string): Promise<number> {
  const label = `tekton.dev/pipelineRunUID=${uid}`
  return eventually('the last pod is gone', async () => {
    const { items } = await getJson<{ items: KubeItem[] }>(NAMESPACE, 'pods', '-l', label)
    const left = items.filter(({ status }) => !['Succeeded', 'Failed'].includes(status.phase!))
    return left.length === 0 ? Date.now() : undefined
  })
}

const CANCELS = ['Cancelled', 'CancelledRunFinally', 'StoppedRunFinally'] as const
type Disturbance = (typeof CANCELS)[number] | 'PodDeleted'

interface Plan extends Work {
  /** Undefined: it is left alone. */
  how?: Disturbance
  when?: 'inside' | 'waiting'
}

/** Each way to disturb: one that works, one that works on after SIGTERM, and one that waits. */
const DISTURBED = [...CANCELS, 'PodDeleted' as const].flatMap((how): Plan[] => [
  // Whose work goes on in spite of it, or begins again, has to end by itself.
  { how, when: 'inside', count: how.startsWith('Cancelled') ? 10_000 : 75 },
  { how, when: 'inside', count: how.startsWith('Cancelled') ? 10_000 : 75, stubborn: true },
  { how, when: 'waiting', count: 10 },
])
/** With the one that comes last, twenty; a plain cancel is what leaves the lock to be taken over. */
const PLANS: Plan[] = [
  ...DISTURBED,
  ...[true, false].map((stubborn): Plan => ({ how: 'Cancelled', when: 'inside', count: 10_000, stubborn })),
  ...Array.from({ length: 5 }, () => ({ count: 10 })),
]

async function disturb(run: string, how: Disturbance): Promise<void> {
  if (how === 'PodDeleted') {
    const pods = `tekton.dev/pipelineRun=${run},tekton.dev/pipelineTask in (acquire, work)`
    await kubectl('delete', 'pods', '-n', NAMESPACE, '-l', pods, '--wait=false')
  } else await cancelRun(NAMESPACE, run, how)
}

interface Lived {
  run: string
  plan: Plan
  goneAt: number
}

const isOf =
  (run: string) =>
  (event: StoredEvent): boolean =>
    'request' in event && event.request.owner.name === run

/** After each disturbed run that had the lock: how many seconds until the next who waited had it. */
function handOffsIn(lived: Lived[], events: StoredEvent[]) {
  const granted = events.filter((event) => event.kind === 'granted')
  return lived.flatMap(({ run, plan, goneAt }) => {
    const hold = granted.findLast(isOf(run))
    const next = granted.find(({ seq }) => hold && seq > hold.seq)
    const asked = events.find(
      (event) => event.kind === 'queued' && event.request.ticket === next?.request.ticket,
    )
    if (!plan.how || !hold || !next || !asked) return []
    const by = events.find((event) => 'epoch' in event && event.epoch === hold.seq)?.kind
    // Nobody can be inside before having asked.
    const since = (at: number): number => (Date.parse(next.at) - Math.max(at, Date.parse(asked.at))) / 1000
    const last = beatsOf(run).at(-1)
    const sinceBeat = last && since(Date.now() - (uptime() - last) * 1000)
    return [{ ...plan, by, seconds: since(goneAt), sinceBeat }]
  })
}

describe.skipIf(!ceph)('a lock on a CephFS with a client on each node', () => {
  it(
    'is held by one run at a time, and stuck with none, while runs are cancelled and pods deleted',
    LONG,
    async () => {
      const lock = 'deploy'
      const log = follow(lock)
      const [plans] = fc.sample(fc.shuffledSubarray(PLANS, { minLength: PLANS.length }), {
        seed: SEED,
        numRuns: 1,
      })
      const pauses = fc.sample(fc.integer({ min: 0, max: 5000 }), { seed: SEED, numRuns: PLANS.length })

      async function live(plan: Plan, n: number): Promise<Lived> {
        await sleep(pauses[n])
        const run = await startOn(n, acrossTasks(lock, plan))
        const { uid } = (await getJson(NAMESPACE, 'pipelinerun', run)).metadata
        if (plan.when === 'inside') await beating(run)
        if (plan.when === 'waiting')
          await eventually(`${run} asks for the lock`, async () => log.events.find(isOf(run)), 600)
        if (plan.how) await disturb(run, plan.how)
        if (plan.how) await space.ended('PipelineRun', run, 1800)
        else await succeeded(space, run, 1800)
        return { run, plan, goneAt: await lastPodGone(uid) }
      }

      const atOnce = pLimit(6)
      const lived = await Promise.all(plans!.map((plan, n) => atOnce(() => live(plan, n))))
      // Whatever the others left, the next one gets it.
      lived.push(await live({ count: 10 }, 0))
      await log.stop()

      const inside = insideApart(lived.map(({ run }) => run))
      const granted = log.events.filter((event) => event.kind === 'granted')
      const evidence = JSON.stringify({ lived, inside, events: log.events }, null, 1)
      expect(new Set(granted.map(({ request }) => request.by.node)).size).toBe(2)
      expect(await state(lock)).toMatchObject({ holders: [], queue: [] })
      for (const { run, plan } of lived)
        if (plan.when !== 'waiting') expect(inside.map((hold) => hold.run)).toContain(run)

      const handOffs = handOffsIn(lived, log.events)
      console.log(`of ${lived.length} runs ${inside.length} were inside; after those that were disturbed:`)
      for (const { how, when, stubborn, by, seconds, sinceBeat } of handOffs)
        console.log(
          `  ${how} ${when}${stubborn ? ', stubborn' : ''}: ${by}, the next had it ` +
            `${seconds.toFixed(1)} s after the last pod, ${sinceBeat?.toFixed(1) ?? '-'} s after the last beat`,
        )
      // A few seconds; the machine may be busy.
      for (const { seconds } of handOffs) expect(seconds, evidence).toBeLessThan(60)
    },
  )

  it.each([
    ['whose client of the file system was killed', false],
    ['that is lost: its client was killed, and its kubelet is not heard of', true],
  ])('is taken over from a node %s', LONG, async (_, lost) => {
    const lock = lost ? 'lost-node' : 'lost-client'
    const log = follow(lock)
    const holder = await startOn(0, underLock(lock, 10_000))
    await beating(holder)
    const waiter = await startOn(1, underLock(lock, 10))
    await eventually(
      'the other waits',
      async () => log.events.some(({ kind }) => kind === 'queued') || undefined,
    )
    const goOn = lost ? await stopKubelet(hosts[0]!) : () => {}
    try {
      const killedAt = uptime()
      await killClient(hosts[0]!)
      await succeeded(space, waiter, 600)
      const [before, after] = insideApart([holder, waiter])
      await log.stop()
      const end = log.events.find((event) => event.kind === 'taken-over')
      console.log(
        `${lock}: the holder beat on for ${(before!.last - killedAt).toFixed(1)} s, ` +
          `the next was inside after ${(after!.first - killedAt).toFixed(1)} s: ${end?.evidence}`,
      )
      expect(after!.run).toBe(waiter)
      // 60 s of the heartbeat, 30 s of the client's session, 15 s for the rest; the machine may be busy.
      expect(after!.first - killedAt).toBeLessThan(240)
      if (lost) expect(end?.evidence).toMatch(/^no heartbeat in 6\d\.\d s of watching/)
      else expect(end?.evidence).toMatch(/^(no heartbeat in|TaskRun \S+ is finished)/)
    } finally {
      goOn()
      await mountAgain()
    }
    await space.ended('PipelineRun', holder)
    const { work } = await taskRunsOf(NAMESPACE, holder)
    expect(exitCodesOf(work!), await logOfRun(NAMESPACE, holder)).toEqual({ work: 46 })
    // With its storage back, the node goes on as before.
    await succeeded(space, await startOn(0, underLock(lock, 10)))
    expect((await state(lock)).holders).toEqual([])
  })
})
