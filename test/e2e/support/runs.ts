/** Runs as users write them: the product's steps beside scripts of their own; and what became of them. */
import { BIND_SHARED, scriptStep, SHARED, stepRef } from '../../../src/catalog/pipelines/parts.ts'
import { DEFAULTS } from '../../../src/catalog/settings.ts'
import { getJson, kubectl, type KubeItem } from './cluster.ts'
import type { TestNamespace } from './namespace.ts'

export { BIND_SHARED, SHARED, stepRef as step }

/** For tests of several pods each: on a busy machine the kubelet may take more than a minute to start a step. */
export const PATIENT = { timeout: 600_000 }

/** A script in the pod's own folder, `/workspace`. */
export const script = (name: string, text: string, env: Record<string, string> = {}): object => ({
  ...scriptStep(name, env, text),
  image: DEFAULTS.image,
})

export interface TaskParts {
  steps: object[]
  /** The results of the task, by the step results that they are: `{ artifact: 'store' }` is `$(steps.store.results.artifact)`. */
  results?: Record<string, string>
  /** Values for `$(params.<name>)`; those of a matrix are declared only. */
  params?: Record<string, string | string[]>
  matrix?: Record<string, string[]>
  /** Whatever else a pipeline task may say. */
  more?: object
  stepTemplate?: object
}

/** A taskSpec on the workspace `shared`. */
export function taskSpec({ steps, results = {}, params = {}, matrix = {}, stepTemplate }: TaskParts): object {
  return {
    workspaces: [{ name: 'shared' }],
    params: [
      ...Object.entries(params).map(([name, value]) => ({
        name,
        type: Array.isArray(value) ? 'array' : 'string',
      })),
      ...Object.keys(matrix).map((name) => ({ name, type: 'string' })),
    ],
    results: Object.entries(results).map(([name, from]) => ({
      name,
      value: `$(steps.${from}.results.${name})`,
    })),
    ...(stepTemplate ? { stepTemplate } : {}),
    steps,
  }
}

/** A task of a pipeline, on the run's workspace `shared`. */
export function task(name: string, parts: TaskParts): object {
  const pairs = (values: Record<string, string | string[]>) =>
    Object.entries(values).map(([name, value]) => ({ name, value }))
  const { params = {}, matrix, more = {} } = parts
  return {
    name,
    workspaces: BIND_SHARED,
    params: pairs(params),
    ...(matrix ? { matrix: { params: pairs(matrix) } } : {}),
    taskSpec: taskSpec(parts),
    ...more,
  }
}

/** The spec of a PipelineRun on the workspace `shared`. */
export const pipeline = (tasks: object[], more: object = {}): object => ({
  pipelineSpec: { workspaces: [{ name: 'shared' }], tasks, ...more },
})

/** Waits until a PipelineRun has succeeded. @throws with the log of all its pods otherwise */
export async function succeeded(space: TestNamespace, run: string, seconds = 480): Promise<KubeItem> {
  let item: KubeItem | undefined
  try {
    item = await space.ended('PipelineRun', run, seconds)
    if (item.status.conditions![0]!.status === 'True') return item
  } catch (error) {
    throw new Error(`${String(error)}\n${await logOfRun(space.name, run)}`, { cause: error })
  }
  throw new Error(`${run}: ${item.status.conditions![0]!.message}\n${await logOfRun(space.name, run)}`)
}

/** Ends a PipelineRun as a user does: `Cancelled`, `CancelledRunFinally` or `StoppedRunFinally`. */
export async function cancelRun(namespace: string, run: string, status = 'Cancelled'): Promise<void> {
  const patch = JSON.stringify({ spec: { status } })
  await kubectl('patch', 'pipelinerun', run, '-n', namespace, '--type', 'merge', '-p', patch)
}

/** What all pods of a PipelineRun are and said. */
export async function logOfRun(namespace: string, run: string): Promise<string> {
  const selector = ['-n', namespace, '-l', `tekton.dev/pipelineRun=${run}`]
  const pods = await kubectl('get', 'pods', ...selector, '-o', 'wide')
  const logs = await kubectl(
    'logs',
    ...selector,
    '--all-containers',
    '--prefix',
    '--tail=-1',
    '--ignore-errors',
  )
  return `${pods}\n${logs}`
}

/** The TaskRuns of a PipelineRun by the name of their pipeline task (of a matrix, one of them). */
export async function taskRunsOf(namespace: string, run: string): Promise<Record<string, KubeItem>> {
  const selector = `tekton.dev/pipelineRun=${run}`
  const { items } = await getJson<{ items: KubeItem[] }>(namespace, 'taskruns', '-l', selector)
  return Object.fromEntries(items.map((item) => [item.metadata.labels['tekton.dev/pipelineTask']!, item]))
}

/** The results of a PipelineRun or TaskRun that are texts. */
export function resultsOf({ status }: KubeItem): Record<string, string> {
  const results = status.results ?? []
  return Object.fromEntries(results.map(({ name, value }) => [name, value as string]))
}
