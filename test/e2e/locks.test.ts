/** Locks on a real Tekton: between runs on two nodes, and over runs that were cancelled or deleted. */
import { existsSync, mkdirSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { SERVICE_ACCOUNT } from '../../src/catalog/names.ts'
import { taskRef } from '../../src/catalog/pipelines/parts.ts'
import { POD_TEMPLATE } from '../../src/catalog/sample.ts'
import type { StoredEvent } from '../../src/locks/format.ts'
import { contract as lockAcquire } from '../../src/steps/lock-acquire/contract.ts'
import { contract as lockRelease } from '../../src/steps/lock-release/contract.ts'
import { create, eventually, getJson, kubectl, logOf, type KubeItem } from './support/cluster.ts'
import { errorIn, eventsIn, exitCodesOf } from './support/logs.ts'
import { makeNamespace, type TestNamespace } from './support/namespace.ts'
import {
  logOfRun,
  pipeline,
  resultsOf,
  script,
  SHARED,
  step,
  succeeded,
  task,
  taskRunsOf,
  cancelRun,
} from './support/runs.ts'

const NAMESPACE = 'e2e-locks'
/** A ServiceAccount that may not ask the API anything. */
const NO_RIGHTS = 'no-rights'

let space: TestNamespace
/** The nodes' host names: every race here is between two nodes. */
let hosts: string[]
beforeAll(async () => {
  space = await makeNamespace(NAMESPACE)
  await create(NAMESPACE, { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: NO_RIGHTS } })
  const { items } = await getJson<{ items: KubeItem[] }>('', 'nodes')
  hosts = items.map((node) => node.metadata.labels['kubernetes.io/hostname']!)
  if (hosts.length < 2) throw new Error(`expected two nodes or more, found ${hosts.join(', ')}`)
})
afterAll(() => space?.remove())

/**
 * Appends a line to the run's own file every 100 ms, at least COUNT of them and until the file of its lock says so.
 * The time is the kernel's uptime: monotonic, and the same clock for all pods of both nodes and for this process.
 */
const BEAT = `#!/bin/sh
set -eu
[ -z "$STUBBORN" ] || trap '' TERM
mkdir -p "$BEATS"
n=0
while [ "$n" -lt "$COUNT" ] || [ ! -e "$ENOUGH" ]; do
  read -r now rest < /proc/uptime
  echo "$RUN $now" >> "$BEATS/$RUN.beats"
  n=$((n + 1))
  sleep 0.1
done
`

interface Work {
  count?: number
  /** Ignores SIGTERM, and so goes on until it is killed. */
  stubborn?: boolean
}

const beat = (lock: string, { count = 20, stubborn = false }: Work): object =>
  script('beat', BEAT, {
    RUN: '$(params.run)',
    BEATS: `${SHARED}/beats/${lock}`,
    ENOUGH: `${SHARED}/enough/${lock}`,
    COUNT: String(count),
    STUBBORN: stubborn ? 'yes' : '',
  })

const RUN_NAME = { run: '$(context.pipelineRun.name)' }
const EPOCH = { epoch: '$(tasks.acquire.results.epoch)' }

/** Acquires in a Task, works in another, releases in `finally`. */
function acrossTasks(
  lock: string,
  params: Record<string, string> = {},
  work: Work = {},
  more: object = {},
): object {
  return pipeline(
    [
      { name: 'acquire', ...taskRef(lockAcquire, { name: lock, ...params }) },
      task('work', { params: RUN_NAME, steps: [beat(lock, work)], more: { runAfter: ['acquire'], ...more } }),
    ],
    { finally: [{ name: 'release', ...taskRef(lockRelease, { name: lock, ...EPOCH }) }] },
  )
}

/** Acquires, works and releases in the steps of one Task. */
const inOneTask = (lock: string): object =>
  pipeline([
    task('work', {
      params: RUN_NAME,
      results: { epoch: 'acquire' },
      steps: [
        step('acquire', lockAcquire, { name: lock }),
        beat(lock, {}),
        step('release', lockRelease, { name: lock, epoch: '$(steps.acquire.results.epoch)' }),
      ],
    }),
  ])

/** Starts a PipelineRun of which all pods are on one node. @returns its name */
const startOn = (node: number, spec: object, serviceAccountName = SERVICE_ACCOUNT): Promise<string> =>
  space.start('PipelineRun', {
    ...spec,
    taskRunTemplate: {
      serviceAccountName,
      podTemplate: { ...POD_TEMPLATE, nodeSelector: { 'kubernetes.io/hostname': hosts[node % 2] } },
    },
  })

const uptime = (): number => Number(readFileSync('/proc/uptime', 'utf8').split(' ')[0])

/** When a run has beaten, in seconds of uptime. */
function beatsOf(lock: string, run: string): number[] {
  const file = join(space.volume, 'beats', lock, `${run}.beats`)
  if (!existsSync(file)) return []
  const lines = readFileSync(file, 'utf8').trimEnd().split('\n')
  return lines.map((line) => {
    const [name, at] = line.split(' ')
    expect(name).toBe(run)
    return Number(at)
  })
}

const beating = (lock: string, run: string): Promise<true> =>
  eventually(`${run} beats`, async () => beatsOf(lock, run).length > 0 || undefined)

/** Lets whoever works under the lock end, once it has beaten often enough. */
function enough(lock: string): void {
  const folder = join(space.volume, 'enough')
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, lock), '')
}

/** Waits until a PipelineRun has ended, however. @throws with the log of all its pods where it does not */
async function finished(run: string): Promise<KubeItem> {
  try {
    return await space.ended('PipelineRun', run, 120)
  } catch (error) {
    throw new Error(`${String(error)}\n${await logOfRun(NAMESPACE, run)}`, { cause: error })
  }
}

/** What happened to a lock, as its log on the volume has it. */
function historyOf(lock: string): StoredEvent[] {
  const folder = join(space.volume, 'locks', lock, 'events')
  if (!existsSync(folder)) return []
  const files = readdirSync(folder).filter((name) => /^\d+$/.test(name))
  return files.sort().map((name) => JSON.parse(readlinkSync(join(folder, name))) as StoredEvent)
}

type Kind<K extends StoredEvent['kind']> = Extract<StoredEvent, { kind: K }>
const of = <K extends StoredEvent['kind']>(kind: K, history: StoredEvent[]): Kind<K>[] =>
  history.filter((event): event is Kind<K> => event.kind === kind)

/** Waits until so many wait for the lock. */
const queued = (lock: string, count: number): Promise<true> =>
  eventually(
    `${count} wait for ${lock}`,
    async () => of('queued', historyOf(lock)).length === count || undefined,
  )

/** One is inside, two wait; then the next as soon as one has left. */
const RACE = ['granted', 'queued', 'queued', 'released', 'granted', 'released', 'granted', 'released']

/**
 * Three runs that want a lock at once: never two inside, and each epoch higher than the one before.
 * @returns what happened to the lock
 */
async function race(
  lock: string,
  spec: object,
  epochOf: (run: string) => Promise<string>,
): Promise<StoredEvent['kind'][]> {
  const runs = await Promise.all([0, 1, 0].map((node) => startOn(node, spec)))
  // The first stays inside until both others wait, so that without a lock all three would be inside at once.
  await queued(lock, 2)
  enough(lock)
  await Promise.all(runs.map((run) => succeeded(space, run)))

  const holds = await Promise.all(
    runs.map(async (run) => {
      const beats = beatsOf(lock, run)
      return {
        run,
        first: beats[0]!,
        last: beats.at(-1)!,
        count: beats.length,
        epoch: Number(await epochOf(run)),
      }
    }),
  )
  holds.sort((a, b) => a.first - b.first)
  const history = historyOf(lock)
  const evidence = JSON.stringify({ holds, history }, null, 2)
  for (const [i, hold] of holds.entries()) {
    expect(hold.count, evidence).toBeGreaterThanOrEqual(20)
    if (i === 0) continue
    expect(hold.first, evidence).toBeGreaterThan(holds[i - 1]!.last)
    expect(hold.epoch, evidence).toBeGreaterThan(holds[i - 1]!.epoch)
  }
  const nodes = of('granted', history).map((event) => event.request.by.node)
  expect(new Set(nodes), evidence).toEqual(new Set(hosts.slice(0, 2)))
  const inside = holds.map(({ first, last }) => `[${first.toFixed(2)}, ${last.toFixed(2)}]`)
  console.log(`${lock}: inside at ${inside.join(' ')}, epochs ${holds.map((hold) => hold.epoch).join(', ')}`)
  return history.map((event) => event.kind)
}

/** When no pod of a run is left running, in milliseconds of this machine's clock; it is up to 0.7 s late. */
async function lastPodGone(uid: string): Promise<number> {
  return eventually('the last pod is gone', async () => {
    const { items } = await getJson<{ items: KubeItem[] }>(
      NAMESPACE,
      'pods',
      '-l',
      `tekton.dev/pipelineRunUID=${uid}`,
    )
    const left = items.filter(({ status }) => status.phase !== 'Succeeded' && status.phase !== 'Failed')
    return left.length === 0 ? Date.now() : undefined
  })
}

/** A run that holds the lock and works on one node, and one that waits for it on the other. */
async function holderAndWaiter(
  lock: string,
  work: Work,
): Promise<{ holder: string; uid: string; waiter: string }> {
  const holder = await startOn(0, acrossTasks(lock, {}, { count: 6000, ...work }))
  await beating(lock, holder)
  const { uid } = (await getJson(NAMESPACE, 'pipelinerun', holder)).metadata
  // The file counts only for who has beaten often enough: the holder has not in its life.
  enough(lock)
  const waiter = await startOn(1, acrossTasks(lock))
  await queued(lock, 1)
  return { holder, uid, waiter }
}

/**
 * Ends the holder by force: the waiter gets the lock by itself, but not before the last process is gone.
 * @returns how many seconds after the holder's last pod was gone
 */
async function expectTakenOver(
  lock: string,
  end: (run: string) => Promise<unknown>,
  evidence: RegExp,
): Promise<number> {
  const { holder, uid, waiter } = await holderAndWaiter(lock, { stubborn: true })
  const endedAt = uptime()
  await end(holder)
  const goneAt = await lastPodGone(uid)
  await succeeded(space, waiter)

  const log = await logOfRun(NAMESPACE, waiter)
  const acquire = (await taskRunsOf(NAMESPACE, waiter))['acquire']!
  const said = await logOf(NAMESPACE, acquire.status.podName!)
  const [takenOver, ...more] = eventsIn(said, 'lock-taken-over')
  expect(takenOver, log).toMatchObject({
    lock,
    epoch: 1,
    evidence: expect.stringMatching(evidence) as string,
  })
  expect(takenOver!['from'], log).toContain(`PipelineRun ${NAMESPACE}/${holder}`)
  expect(more).toEqual([])
  const selector = `involvedObject.kind=PipelineRun,involvedObject.name=${waiter},reason=LockTakenOver`
  const told = await getJson<{ items: { message: string }[] }>(
    NAMESPACE,
    'events',
    '--field-selector',
    selector,
  )
  expect(told.items.map(({ message }) => message)).toEqual([takenOver!['message']])
  const [before, after] = [beatsOf(lock, holder), beatsOf(lock, waiter)]
  expect(after[0], log).toBeGreaterThan(before.at(-1)!)
  // Otherwise nothing was shown: the step did go on after the end of its run.
  expect(before.at(-1)! - endedAt, log).toBeGreaterThan(20)

  const history = historyOf(lock)
  expect(history.map((event) => event.kind)).toEqual([
    'granted',
    'queued',
    'taken-over',
    'granted',
    'released',
  ])
  expect(of('taken-over', history)[0]).toMatchObject({ epoch: 1, evidence: takenOver!['evidence'] })
  const epochs = of('granted', history).map((event) => event.seq)
  expect(Number(resultsOf(acquire)['epoch'])).toBe(epochs[1])

  const acquiredAt = Date.parse(String(eventsIn(said, 'lock-acquired')[0]!['time']))
  const lastBeatAt = Date.now() - (uptime() - before.at(-1)!) * 1000
  const seconds = (ms: number): string => (ms / 1000).toFixed(1)
  console.log(
    `${lock}: beat on for ${(before.at(-1)! - endedAt).toFixed(1)} s after its run's end; taken over ` +
      `${seconds(acquiredAt - goneAt)} s after its last pod was gone, ${seconds(acquiredAt - lastBeatAt)} s after its last beat`,
  )
  return (acquiredAt - goneAt) / 1000
}

/** A TaskRun of lock-acquire or lock-release by itself: how it ended. */
async function runLockTask(
  contract: typeof lockAcquire | typeof lockRelease,
  params: Record<string, string>,
  serviceAccountName = SERVICE_ACCOUNT,
) {
  const values = Object.entries(params).map(([name, value]) => ({ name, value }))
  const { run, log, exitCode } = await space.runTask({
    serviceAccountName,
    taskRef: { name: contract.name },
    params: values,
  })
  return { run, log, exitCode, error: errorIn(log) }
}

const text = (pattern: RegExp): string => expect.stringMatching(pattern) as string

describe.concurrent('a lock', () => {
  it('is taken over from a cancelled run, once its last pod is gone', async () => {
    const cancel = async (run: string): Promise<void> => {
      await cancelRun(NAMESPACE, run, 'Cancelled')
      const { status } = await finished(run)
      expect(status.conditions![0]!.reason).toBe('Cancelled')
      // A plain cancel skips `finally`, which is why somebody has to take the lock over.
      expect(Object.keys(await taskRunsOf(NAMESPACE, run)).sort()).toEqual(['acquire', 'work'])
    }
    const evidence = /^PipelineRun \S+ is finished and no pod of it is left running$/
    // A few seconds; the machine may be busy.
    expect(await expectTakenOver('cancelled', cancel, evidence)).toBeLessThan(30)
  })

  it('is taken over from a deleted run, once its last pod is gone', async () => {
    const remove = (run: string): Promise<string> =>
      kubectl('delete', 'pipelinerun', run, '-n', NAMESPACE, '--wait=false')
    const evidence = /^PipelineRun \S+ is deleted and no pod of it is left running$/
    expect(await expectTakenOver('deleted', remove, evidence)).toBeLessThan(30)
  })

  it('lets one run at a time in, held across Tasks and released in finally', async () => {
    const happened = await race('across-tasks', acrossTasks('across-tasks'), async (run) => {
      const taskRuns = await taskRunsOf(NAMESPACE, run)
      return resultsOf(taskRuns['acquire']!)['epoch']!
    })
    expect(happened).toEqual(RACE)
  })

  it('lets one run at a time in, held by the steps of one Task', async () => {
    const happened = await race('in-one-task', inOneTask('in-one-task'), async (run) => {
      const taskRuns = await taskRunsOf(NAMESPACE, run)
      return resultsOf(taskRuns['work']!)['epoch']!
    })
    expect(happened).toEqual(RACE)
  })

  it.each([
    ['stops when it is told', false],
    ['ignores SIGTERM', true],
  ])(
    'is released by the finally of a run that is cancelled with it, while a step %s',
    async (_, stubborn) => {
      const lock = `cancelled-finally-${stubborn}`
      const { holder, waiter } = await holderAndWaiter(lock, { stubborn })
      const endedAt = uptime()
      await cancelRun(NAMESPACE, holder, 'CancelledRunFinally')
      const { status } = await finished(holder)
      await succeeded(space, waiter)
      const log = `${await logOfRun(NAMESPACE, holder)}\n${await logOfRun(NAMESPACE, waiter)}`
      expect(status.conditions![0]!.reason, log).toBe('Cancelled')
      const release = (await taskRunsOf(NAMESPACE, holder))['release']!
      expect(resultsOf(release), log).toEqual({ epoch: '1', holder: `PipelineRun ${NAMESPACE}/${holder}` })

      const history = historyOf(lock)
      expect(history.map((event) => event.kind)).toEqual([
        'granted',
        'queued',
        'released',
        'granted',
        'released',
      ])
      expect(of('released', history)[0]!.by.taskRun.name).toBe(release.metadata.name)
      const acquire = (await taskRunsOf(NAMESPACE, waiter))['acquire']!
      const waited = await logOf(NAMESPACE, acquire.status.podName!)
      expect(eventsIn(waited, 'lock-acquired'), waited).toHaveLength(1)
      expect(eventsIn(waited, 'lock-taken-over'), waited).toEqual([])
      const last = beatsOf(lock, holder).at(-1)!
      expect(beatsOf(lock, waiter)[0]).toBeGreaterThan(last)
      if (!stubborn) return
      // The release came while the step went on, and waited for it.
      expect(last - endedAt, log).toBeGreaterThan(20)
      const said = await logOf(NAMESPACE, release.status.podName!)
      expect(eventsIn(said, 'release-waiting')[0], said).toMatchObject({
        lock,
        pods: [expect.stringContaining('work')],
      })
    },
  )

  it('is refused across Tasks where nothing could tell when it is over, and given with maxHold', async () => {
    enough('unlimited')
    enough('limited')
    const [unlimited, limited] = await Promise.all([
      startOn(0, acrossTasks('unlimited'), NO_RIGHTS),
      startOn(1, acrossTasks('limited', { maxHold: '10m' }), NO_RIGHTS),
    ])
    const { status } = await finished(unlimited)
    const { acquire, ...others } = await taskRunsOf(NAMESPACE, unlimited)
    const log = await logOf(NAMESPACE, acquire!.status.podName!)
    expect(status.conditions![0]!.status, log).toBe('False')
    expect(exitCodesOf(acquire!), log).toEqual({ 'lock-acquire': 43 })
    expect(errorIn(log), log).toMatchObject({
      code: 'LIVENESS_UNKNOWN',
      exitCode: 43,
      expected: text(/explicit maxHold/),
      found: text(/^get pipelineruns: HTTP 403;/),
      hint: text(/Role of the maintenance bundle/),
    })
    // Neither did the work begin, nor is there anything to release.
    expect(others, log).toEqual({})
    expect(historyOf('unlimited')).toEqual([])

    await succeeded(space, limited)
    expect(beatsOf('limited', limited).length).toBeGreaterThanOrEqual(20)
    expect(historyOf('limited').map((event) => event.kind)).toEqual(['granted', 'released'])
  })

  it('whose maxHold is over is taken over without rights, from a holder that still works', async () => {
    const lock = 'max-hold'
    const holder = await startOn(0, acrossTasks(lock, { maxHold: '10s' }))
    await beating(lock, holder)
    const { log, exitCode, error } = await runLockTask(lockAcquire, { name: lock, maxHold: '1m' }, NO_RIGHTS)
    expect(exitCode, log).toBe(0)
    expect(error).toBeUndefined()
    expect(eventsIn(log, 'lock-taken-over'), log).toMatchObject([
      { lock, epoch: 1, evidence: text(/^held for 1\d\.\d s of watching, at most 10\.0 s were asked for$/) },
    ])
    // The one from whom it was taken is told so by its release.
    enough(lock)
    const { status } = await finished(holder)
    const release = (await taskRunsOf(NAMESPACE, holder))['release']!
    const said = await logOf(NAMESPACE, release.status.podName!)
    expect(status.conditions![0]!.status, said).toBe('False')
    expect(exitCodesOf(release), said).toEqual({ 'lock-release': 42 })
    expect(errorIn(said), said).toMatchObject({
      code: 'STALE_LOCK',
      exitCode: 42,
      found: text(/^taken-over at /),
    })
  })
})

describe('while another run holds the lock', () => {
  const lock = 'held'
  let holder: string
  let held: string
  beforeAll(async () => {
    holder = await startOn(0, acrossTasks(lock))
    await beating(lock, holder)
    held = `held by PipelineRun ${NAMESPACE}/${holder} (task acquire) with epoch 1 since `
  })

  it.concurrent('the policy skip goes on without it, and `when` leaves out what it guards', async () => {
    const when = [{ input: '$(tasks.acquire.results.epoch)', operator: 'notin', values: [''] }]
    const tasks = [
      { name: 'acquire', ...taskRef(lockAcquire, { name: lock, policy: 'skip' }) },
      task('work', { params: RUN_NAME, steps: [beat(lock, {})], more: { when } }),
      task('unguarded', { steps: [script('go', '#!/bin/sh\n')], more: { runAfter: ['acquire'] } }),
    ]
    const last = [{ name: 'release', ...taskRef(lockRelease, { name: lock, ...EPOCH }), when }]
    const run = await succeeded(space, await startOn(1, pipeline(tasks, { finally: last })))
    const name = run.metadata.name
    const taskRuns = await taskRunsOf(NAMESPACE, name)
    const log = await logOfRun(NAMESPACE, name)
    const { epoch, holder: other } = resultsOf(taskRuns['acquire']!)
    expect(epoch, log).toBe('')
    expect(other, log).toBe(`PipelineRun ${NAMESPACE}/${holder} (task acquire)`)
    expect(Object.keys(taskRuns).sort(), log).toEqual(['acquire', 'unguarded'])
    const skipped = (run.status.skippedTasks ?? []).map((skip) => skip.name)
    expect(skipped.sort()).toEqual(['release', 'work'])
    const said = await logOf(NAMESPACE, taskRuns['acquire']!.status.podName!)
    expect(eventsIn(said, 'lock-skipped'), said).toMatchObject([{ lock, holder: other }])
    expect(beatsOf(lock, name)).toEqual([])
  })

  it.concurrent('the policy fail fails at once', async () => {
    const { log, exitCode, error } = await runLockTask(lockAcquire, { name: lock, policy: 'fail' })
    expect(exitCode, log).toBe(40)
    expect(error, log).toMatchObject({
      code: 'LOCK_NOT_ACQUIRED',
      exitCode: 40,
      message: 'the lock held was not to be had at once',
      expected: text(/^the lock held to become free/),
      hint: text(/./),
    })
    expect(error!['found'], log).toContain(held)
  })

  it.concurrent('a wait ends with its deadline, and leaves the queue', async () => {
    const { run, log, exitCode, error } = await runLockTask(lockAcquire, { name: lock, timeout: '3s' })
    expect(exitCode, log).toBe(40)
    expect(error, log).toMatchObject({
      code: 'LOCK_NOT_ACQUIRED',
      exitCode: 40,
      message: text(/^the lock held was not to be had within ([3-9]|\d\d)\.\d s$/),
      hint: text(/raise timeout/),
    })
    expect(error!['found'], log).toContain(held)
    const mine = of('queued', historyOf(lock)).find(
      ({ request }) => request.by.taskRun.uid === run.metadata.uid,
    )
    const withdrawn = of('withdrawn', historyOf(lock)).map((event) => event.ticket)
    expect(withdrawn).toContain(mine!.request.ticket)
    expect(readdirSync(join(space.volume, 'locks', lock, 'heartbeats')).join()).not.toContain(
      mine!.request.ticket,
    )
  })

  it.concurrent('who may not ask whether the holder lives is told so', async () => {
    const params = { name: lock, policy: 'fail', maxHold: '1m' }
    const { log, exitCode, error } = await runLockTask(lockAcquire, params, NO_RIGHTS)
    expect(exitCode, log).toBe(43)
    expect(error, log).toMatchObject({ code: 'LIVENESS_UNKNOWN', exitCode: 43, found: text(/HTTP 403/) })
    expect(error!['found'], log).toContain(held)
  })

  it.concurrent.each([
    ['whichever', {}, 'a hold of this run or task'],
    ['the other run’s epoch', { epoch: '1' }, 'a hold of this run or task with epoch 1'],
  ])('a run that does not hold it cannot release it: %s', async (_, params, expected) => {
    const { log, exitCode, error } = await runLockTask(lockRelease, { name: lock, ...params })
    expect(exitCode, log).toBe(41)
    expect(error, log).toMatchObject({ code: 'LOCK_NOT_HELD', exitCode: 41, expected, hint: text(/./) })
    expect(error!['found'], log).toContain(held)
  })

  it('the holder has had it all the time, and releases it itself', async () => {
    enough(lock)
    await succeeded(space, holder)
    const changes = historyOf(lock).filter(({ kind }) => kind !== 'queued' && kind !== 'withdrawn')
    expect(changes).toMatchObject([
      { kind: 'granted', request: { owner: { name: holder } } },
      { kind: 'released', epoch: 1, by: { task: 'release' } },
    ])
  })
})
