/** Retention on a cluster: what the CronJob and the Task workspace-cleanup archive, trash, purge and leave alone. */
import {
  existsSync,
  lstatSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { MAINTENANCE } from '../../src/catalog/names.ts'
import { POD_TEMPLATE } from '../../src/catalog/sample.ts'
import { DEFAULTS } from '../../src/catalog/settings.ts'
import { SECURITY_CONTEXT } from '../../src/catalog/step.ts'
import { contract as workspaceArchive } from '../../src/steps/workspace-archive/contract.ts'
import { contract as workspaceInit } from '../../src/steps/workspace-init/contract.ts'
import { create, eventually, getJson, kubectl, logOf, type KubeItem } from './support/cluster.ts'
import { makeNamespace, type TestNamespace } from './support/namespace.ts'
import {
  PATIENT,
  pipeline,
  resultsOf,
  script,
  SHARED,
  step,
  succeeded,
  task,
  taskRunsOf,
  taskSpec,
  cancelRun,
} from './support/runs.ts'
import { contentOf, stateOf } from './support/trees.ts'

const NAMESPACE = 'e2e-maintenance'
/** Stands on the volume while the runs that wait for it shall go on. */
const GO = 'go'

let space: TestNamespace
/** Runs until the end of the tests. */
let live: KubeItem
/** Was cancelled, so that it never closed. */
let cancelled: KubeItem
/** Its archive came before the end of another `finally` task. */
let deferred: KubeItem
/** Left a folder under a umask of 077, by another user than maintenance. */
let closedOff: KubeItem

const init = task('init', { steps: [step('init', workspaceInit, {})] })
/** A script in the run's workspace-content. */
const work = (name: string, text: string, runAfter = ['init']) =>
  task(name, {
    params: { run: '$(context.pipelineRun.uid)' },
    steps: [
      script('work', `umask 002\ncd "$CONTENT"\n${text}`, {
        CONTENT: `${SHARED}/pipelines/$(params.run)/workspace-content`,
        GO: `${SHARED}/${GO}`,
      }),
    ],
    ...(runAfter.length > 0 ? { more: { runAfter } } : {}),
  })
const UNTIL_GO = 'until [ -e "$GO" ]; do sleep 1; done'

const archive = task('archive', {
  params: { status: '$(tasks.status)' },
  steps: [step('archive', workspaceArchive, { status: '$(params.status)' })],
  results: { 'archive-path': 'archive' },
})

const runFolder = ({ metadata }: KubeItem): string => join(space.volume, 'pipelines', metadata.uid)

async function runningPods({ metadata }: KubeItem): Promise<KubeItem[]> {
  const selector = ['-l', `tekton.dev/pipelineRunUID=${metadata.uid}`]
  const { items } = await getJson<{ items: KubeItem[] }>(NAMESPACE, 'pods', ...selector)
  return items.filter(({ status }) => !['Succeeded', 'Failed'].includes(status.phase!))
}

async function startPipeline(spec: object): Promise<KubeItem> {
  return getJson(NAMESPACE, 'pipelinerun', await space.start('PipelineRun', spec))
}

beforeAll(async () => {
  space = await makeNamespace(NAMESPACE)
  const started = 'printf %s "$(id -u)" > started'
  ;[live, cancelled, deferred] = await Promise.all([
    startPipeline(pipeline([init, work('wait', `${started}\n${UNTIL_GO}`)])),
    startPipeline(pipeline([init, work('wait', `${started}\n${UNTIL_GO}`)])),
    startPipeline(
      pipeline([init, work('make', 'head -c 100000 /dev/urandom > data')], {
        finally: [archive, work('slow', UNTIL_GO.replace('$GO', '$GO-deferred'), [])],
      }),
    ),
  ])
  const { securityContext } = POD_TEMPLATE
  const closing = space.runTask({
    podTemplate: { securityContext: { ...securityContext, runAsUser: 1000660000, runAsGroup: 0 } },
    taskSpec: taskSpec({
      steps: [
        step('init', workspaceInit, {}),
        script('work', 'umask 077; mkdir -p "$CONTENT/closed" && echo x > "$CONTENT/closed/x"', {
          CONTENT: `${SHARED}/$(steps.init.results.run-path)/workspace-content`,
        }),
      ],
    }),
  })
  for (const run of [live, cancelled]) {
    await eventually(
      `${run.metadata.name} works`,
      async () => existsSync(join(runFolder(run), 'workspace-content/started')) || undefined,
    )
  }
  const { run, exitCode, log } = await closing
  if (exitCode !== 0) throw new Error(log)
  closedOff = run
  // Stands for a step that goes on after the cancel: Tekton leaves it 30 s, which is too short for a test.
  await create(NAMESPACE, {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'leftover', labels: { 'tekton.dev/pipelineRunUID': cancelled.metadata.uid } },
    spec: {
      ...POD_TEMPLATE,
      terminationGracePeriodSeconds: 1,
      containers: [
        {
          name: 'go-on',
          image: DEFAULTS.image,
          command: ['sleep', '3600'],
          securityContext: SECURITY_CONTEXT,
        },
      ],
    },
  })
  await eventually('the leftover pod runs', async () => {
    return (await getJson(NAMESPACE, 'pod', 'leftover')).status.phase === 'Running' || undefined
  })
  await cancelRun(NAMESPACE, cancelled.metadata.name)
  await space.ended('PipelineRun', cancelled.metadata.name)
  await eventually('only the leftover pod runs', async () => {
    const running = await runningPods(cancelled)
    return (running.length === 1 && running[0]!.metadata.name === 'leftover') || undefined
  })
})
afterAll(async () => {
  if (space) writeFileSync(join(space.volume, GO), '')
  await space?.remove()
})

interface Said {
  event?: string
  action?: string
  path?: string
}

interface Cleanup {
  results: Record<string, string>
  log: string
  /** `<action> <path>` of what it planned, and of what it did. */
  planned: string[]
  done: string[]
  blocked: string[]
}

function readLog(log: string): Pick<Cleanup, 'planned' | 'done' | 'blocked'> {
  const lines = log.split('\n').filter((line) => line.startsWith('{'))
  const events = lines.map((line) => JSON.parse(line) as Said)
  const actions = (event: string): string[] =>
    events
      .filter((said) => said.event === event)
      .map(({ action, path }) => `${action} ${path}`)
      .sort()
  const blocked = events.filter((said) => said.event === 'retention-blocked').map(({ path }) => path!)
  return { planned: actions('retention-planned'), done: actions('retention-done'), blocked }
}

/** The Task workspace-cleanup: with its defaults nothing of these tests would be old enough. */
async function cleanUp(params: Record<string, string>): Promise<Cleanup> {
  const { run, log, exitCode } = await space.runTask({
    taskRef: { name: 'workspace-cleanup' },
    params: Object.entries(params).map(([name, value]) => ({ name, value })),
  })
  expect(exitCode, log).toBe(0)
  return { results: resultsOf(run), log, ...readLog(log) }
}

/** Where in completed/ a run is, relative to the volume. */
function completedPath({ metadata }: KubeItem): string {
  const completed = join(space.volume, 'completed')
  const day = readdirSync(completed).find((day) => readdirSync(join(completed, day)).includes(metadata.uid))
  expect(day, `${metadata.name} in ${completed}`).toBeDefined()
  return join('completed', day!, metadata.uid)
}

/** What lies in the trash, by the uid of the run that it was. */
function trashed(): Record<string, string> {
  const trash = join(space.volume, 'trash')
  const places = readdirSync(trash).flatMap((day) =>
    readdirSync(join(trash, day)).map((id) => join(trash, day, id)),
  )
  const from = (place: string): string =>
    (JSON.parse(readFileSync(join(place, 'trashed.json'), 'utf8')) as { from: string }).from
  return Object.fromEntries(places.map((place) => [from(place), place]))
}

const bytesOf = (folder: string): number =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .reduce((sum, entry) => sum + lstatSync(join(entry.parentPath, entry.name)).size, 0)

// One after the other: each goes on with what the one before has left.
describe('maintenance', PATIENT, () => {
  it('by the CronJob moves a closed run whose own archive had to leave it, and nothing else', async () => {
    const { name, uid } = deferred.metadata
    const taskRun = await eventually('the archive has ended', async () => {
      const found = (await taskRunsOf(NAMESPACE, name))['archive']
      return found?.status?.completionTime ? found : undefined
    })
    const log = await logOf(NAMESPACE, taskRun.status.podName!)
    expect(log).toContain('"event":"archive-deferred"')
    expect(resultsOf(taskRun)['archive-path']).toBe(`pipelines/${uid}`)
    writeFileSync(join(space.volume, `${GO}-deferred`), '')
    await succeeded(space, name)
    // A run can be over by the API a moment before its last pod is: maintenance would rightly leave it.
    await eventually('its pods have ended', async () => {
      return (await runningPods(deferred)).length === 0 || undefined
    })
    expect(existsSync(runFolder(deferred))).toBe(true)

    const others = [live, cancelled, closedOff].map((run) => stateOf(runFolder(run)))
    await kubectl('create', 'job', 'by-hand', '-n', NAMESPACE, `--from=cronjob/${MAINTENANCE}`)
    const pod = await eventually('the job has ended', async () => {
      const selector = ['-l', 'batch.kubernetes.io/job-name=by-hand']
      const { items } = await getJson<{ items: KubeItem[] }>(NAMESPACE, 'pods', ...selector)
      return items.find(({ status }) => ['Succeeded', 'Failed'].includes(status.phase!))
    })
    const said = await logOf(NAMESPACE, pod.metadata.name)
    expect(pod.status.phase, said).toBe('Succeeded')
    expect(readLog(said).done).toEqual([`archive pipelines/${uid}`])
    const archived = join(space.volume, completedPath(deferred))
    expect(existsSync(runFolder(deferred))).toBe(false)
    expect(statSync(join(archived, 'workspace-content/data')).size).toBe(100_000)
    expect(statSync(join(archived, 'metadata/archived.json'))).toMatchObject({ uid: 65532, gid: 65532 })
    expect([live, cancelled, closedOff].map((run) => stateOf(runFolder(run)))).toEqual(others)
  })

  it('in a dry run changes nothing, and plans nothing that is alive', async () => {
    const before = stateOf(space.volume)
    const soon = { completedRetention: '1ms', staleTimeout: '1ms', trashRetention: '1ms', grace: '1ms' }
    const trash = `trash ${completedPath(deferred)}`
    const first = await cleanUp({ ...soon, dryRun: 'true' })
    expect(first.planned, first.log).toEqual([trash])
    expect(first.done).toEqual([])
    await kubectl('delete', 'pod', 'leftover', '-n', NAMESPACE)
    const second = await cleanUp({ ...soon, dryRun: 'true' })
    expect(second.planned, second.log).toEqual([`archive pipelines/${cancelled.metadata.uid}`, trash])
    expect(second.results).toMatchObject({ removed: '0', 'freed-bytes': '0', swept: '0' })
    expect(stateOf(space.volume)).toEqual(before)
  })

  it('archives a cancelled run, trashes what was archived, and purges what was not restored', async () => {
    const untouched = stateOf(runFolder(live))
    const content = contentOf(join(runFolder(cancelled), 'workspace-content'))
    expect(Object.keys(content)).toEqual(['started'])

    const archiving = await cleanUp({ staleTimeout: '1ms', grace: '1ms' })
    expect(archiving.done, archiving.log).toEqual([`archive pipelines/${cancelled.metadata.uid}`])
    expect(archiving.results['removed']).toBe('0')
    const paths = [cancelled, deferred].map(completedPath)
    const [cancelledPath, deferredPath] = paths as [string, string]
    expect(contentOf(join(space.volume, cancelledPath, 'workspace-content'))).toEqual(content)

    const trashing = await cleanUp({ completedRetention: '1ms', grace: '1ms' })
    expect(trashing.done, trashing.log).toEqual(paths.map((path) => `trash ${path}`).sort())
    expect(trashing.results).toMatchObject({ removed: '2', 'freed-bytes': '0' })
    for (const path of paths) expect(existsSync(join(space.volume, path))).toBe(false)

    const places = trashed()
    expect(Object.keys(places).sort()).toEqual([...paths].sort())
    renameSync(join(places[cancelledPath]!, 'content'), join(space.volume, cancelledPath))
    expect(contentOf(join(space.volume, cancelledPath, 'workspace-content'))).toEqual(content)

    const bytes = bytesOf(join(space.volume, 'trash'))
    expect(bytes).toBeGreaterThan(100_000)
    const purging = await cleanUp({ trashRetention: '1ms' })
    expect(purging.done, purging.log).toHaveLength(2)
    expect(purging.results).toMatchObject({ removed: '2', 'freed-bytes': String(bytes) })
    expect(trashed()).toEqual({})
    expect(existsSync(join(space.volume, deferredPath))).toBe(false)
    expect(contentOf(join(space.volume, cancelledPath, 'workspace-content'))).toEqual(content)

    // What nobody but its user can read is named each time, and left.
    expect(archiving.blocked).toEqual([`pipelines/${closedOff.metadata.uid}`])
    expect(existsSync(join(runFolder(closedOff), 'workspace-content/closed/x'))).toBe(true)

    expect(stateOf(runFolder(live))).toEqual(untouched)
    writeFileSync(join(space.volume, GO), '')
    await succeeded(space, live.metadata.name)
  })
})
