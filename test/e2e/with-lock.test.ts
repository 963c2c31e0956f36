/** Commands under a lock on a real Tekton: in an image of their own beside a sidecar, and as a StepAction. */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { SERVICE_ACCOUNT } from '../../src/catalog/names.ts'
import { taskRef } from '../../src/catalog/pipelines/parts.ts'
import { POD_TEMPLATE } from '../../src/catalog/sample.ts'
import { describeLock, volumeLocks } from '../../src/locks/index.ts'
import { contract as withLock } from '../../src/steps/with-lock/contract.ts'
import { openVolume } from '../../src/volume/volume.ts'
import { eventually, getJson, type KubeItem } from './support/cluster.ts'
import { leaseState } from './support/leases.ts'
import { exitCodesOf } from './support/logs.ts'
import { makeNamespace, type TestNamespace } from './support/namespace.ts'
import {
  cancelRun,
  logOfRun,
  PATIENT,
  pipeline,
  resultsOf,
  step,
  succeeded,
  task,
  taskRunsOf,
} from './support/runs.ts'

let space: TestNamespace
let hosts: string[]
beforeAll(async () => {
  space = await makeNamespace('e2e-with-lock')
  const { items } = await getJson<{ items: KubeItem[] }>('', 'nodes')
  hosts = items.map((node) => node.metadata.labels['kubernetes.io/hostname']!)
})
afterAll(() => space?.remove())

/**
 * Writes the uptime, which is one clock for both nodes, every 100 ms: `$1` folder, `$2` run, `$3` times. Goes on for
 * two seconds after SIGTERM.
 */
const BEAT = `mkdir -p "$1"
n=0
trap 'set -- "$1" "$2" "$((n + 20))"' TERM
while [ "$n" -lt "$3" ]; do
  read -r now rest < /proc/uptime
  echo "$now" >> "$1/$2.beats"
  n=$((n + 1))
  sleep 0.1 || true
done
`

const args = (lock: string, count: number) => [
  `/workspace/shared/beats/${lock}`,
  '$(context.pipelineRun.name)',
  String(count),
]

const FORMS = {
  Task: (lock: string, count: number) =>
    pipeline([{ name: 'work', ...taskRef(withLock, { name: lock, script: BEAT, args: args(lock, count) }) }]),
  StepAction: (lock: string, count: number) =>
    pipeline([
      task('work', {
        params: { run: '$(context.pipelineRun.name)' },
        steps: [
          step('work', withLock, {
            name: lock,
            script: BEAT,
            args: args(lock, count).with(1, '$(params.run)'),
          }),
        ],
      }),
    ]),
}

const startOn = (node: number, spec: object): Promise<string> =>
  space.start('PipelineRun', {
    ...spec,
    taskRunTemplate: {
      serviceAccountName: SERVICE_ACCOUNT,
      podTemplate: {
        ...POD_TEMPLATE,
        nodeSelector: { 'kubernetes.io/hostname': hosts[node % hosts.length] },
      },
    },
  })

function beatsOf(lock: string, run: string): number[] {
  const file = join(space.volume, 'beats', lock, `${run}.beats`)
  return existsSync(file) ? readFileSync(file, 'utf8').trimEnd().split('\n').map(Number) : []
}

const beating = (lock: string, run: string): Promise<true> =>
  eventually(`${run} beats`, async () => beatsOf(lock, run).length > 0 || undefined)

/** Whether each has ended before the next has begun. */
function expectApart(beats: number[][]): void {
  const inOrder = beats.toSorted((a, b) => a[0]! - b[0]!)
  for (const [i, later] of inOrder.slice(1).entries()) expect(later[0]).toBeGreaterThan(inOrder[i]!.at(-1)!)
}

const state = async (lock: string) => describeLock(volumeLocks(await openVolume(space.volume)), lock)

describe.each(['Task', 'StepAction'] as const)('with-lock as a %s', (form) => {
  it('lets one run at a time work, of both nodes', PATIENT, async () => {
    const lock = `apart-${form}`
    const runs = await Promise.all([0, 1, 2].map((node) => startOn(node, FORMS[form](lock, 20))))
    for (const run of runs) await succeeded(space, run)
    const beats = runs.map((run) => beatsOf(lock, run))
    expect(beats.map((list) => list.length)).toEqual([20, 20, 20])
    expectApart(beats)
    expect(await state(lock)).toMatchObject({
      holders: [],
      queue: [],
      ended: [{ how: 'released' }, { how: 'released' }, { how: 'released' }],
    })
  })

  it('keeps the lock of a cancelled run until its command has ended', PATIENT, async () => {
    const lock = `cancel-${form}`
    const first = await startOn(0, FORMS[form](lock, 10_000))
    await beating(lock, first)
    const second = await startOn(1, FORMS[form](lock, 10))
    await eventually('the second waits', async () => (await state(lock)).queue.length > 0 || undefined)
    const before = beatsOf(lock, first).length
    await cancelRun(space.name, first)
    await succeeded(space, second)
    const beats = [beatsOf(lock, first), beatsOf(lock, second)]
    // It has worked on for its two seconds.
    expect(beats[0]!.length).toBeGreaterThanOrEqual(before + 19)
    expectApart(beats)
    expect((await state(lock)).ended.at(-1)).toMatchObject({ how: 'released' })
    expect(beats[1]![0]! - beats[0]!.at(-1)!).toBeLessThan(30)
  })
})

describe('with-lock on Leases', () => {
  it('lets one run at a time work, and keeps the lock until the command has ended', PATIENT, async () => {
    const lock = 'leased'
    const leased = (count: number) => {
      const params = { name: lock, backend: 'lease', script: BEAT, args: args(lock, count) }
      return pipeline([{ name: 'work', ...taskRef(withLock, params) }])
    }
    const first = await startOn(0, leased(10_000))
    await beating(lock, first)
    const others = await Promise.all([1, 0].map((node) => startOn(node, leased(10))))
    await eventually(
      'two wait',
      async () => (await leaseState(space.name, lock)).queue.length === 2 || undefined,
    )
    const before = beatsOf(lock, first).length
    await cancelRun(space.name, first)
    for (const run of others) await succeeded(space, run)
    const beats = [first, ...others].map((run) => beatsOf(lock, run))
    // It has worked on for its two seconds.
    expect(beats[0]!.length).toBeGreaterThanOrEqual(before + 19)
    expectApart(beats)
    expect(await leaseState(space.name, lock)).toMatchObject({
      holders: [],
      queue: [],
      ended: [{ how: 'released' }, { how: 'released' }, { how: 'released' }],
    })
  })
})

describe('with-lock', () => {
  it("ends as the command does, in the user's image, and tells of it", PATIENT, async () => {
    const params = { name: 'fails', script: 'echo "under $LOCK_FENCE"; exit 7' }
    const run = await space.start('PipelineRun', pipeline([{ name: 'work', ...taskRef(withLock, params) }]))
    await space.ended('PipelineRun', run)
    const { work } = await taskRunsOf(space.name, run)
    expect(exitCodesOf(work!)).toEqual({ 'with-lock': 7 })
    expect(await logOfRun(space.name, run)).toContain('under fails@1')
    expect(resultsOf(work!)).toMatchObject({ 'exit-code': '7', epoch: '1' })
    expect((await state('fails')).holders).toEqual([])
  })
})
