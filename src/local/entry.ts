/** What was asked to run, as one pipeline: a Pipeline or a PipelineRun, or a Task or a TaskRun by itself. */
import type { Catalog } from './catalog.ts'
import { toValues, type Values } from './params.ts'
import type { Document, PipelineSpec, TaskSpec } from './schema.ts'
import type { Report } from './variables.ts'

/** @returns undefined where it cannot be found or read, after reporting it. */
export async function findEntry(
  catalog: Catalog,
  pipeline: string,
  report: Report,
): Promise<Entry | undefined> {
  const document = await findDocument(catalog, pipeline, report)
  return document && readEntry(document, catalog, report)
}

async function findDocument(
  catalog: Catalog,
  pipeline: string,
  report: Report,
): Promise<Document | undefined> {
  if (!/[/]|\.ya?ml$/.test(pipeline)) return catalog.find('Pipeline', pipeline, '')
  const documents = await catalog.read(pipeline)
  for (const kind of ['PipelineRun', 'Pipeline', 'TaskRun', 'Task']) {
    const [first, second] = documents.filter((document) => document.kind === kind)
    if (second) report(pipeline, `holds more than one ${kind}: which to run?`)
    if (first) return first
  }
  report(pipeline, 'holds no Pipeline, PipelineRun, Task or TaskRun that can run')
  return undefined
}

export interface Entry {
  /** A Task or TaskRun by itself. */
  bare: boolean
  /** The spec, for problems. */
  where: string
  pipelineName: string
  spec: PipelineSpec
  metadata: { name?: string | undefined; generateName?: string | undefined }
  params: Values
  workspaces: { name: string; subPath?: string | undefined; emptyDir?: unknown }[]
  timeouts: { pipeline?: number | undefined; tasks?: number | undefined; finally?: number | undefined }
}

async function readEntry(entry: Document, catalog: Catalog, report: Report): Promise<Entry | undefined> {
  const { kind, metadata } = entry
  const name = metadata.name ?? ''
  if (kind === 'Pipeline') {
    const generateName = `${name || 'pipeline'}-`
    return {
      bare: false,
      where: `Pipeline ${name}: spec`,
      pipelineName: name,
      spec: entry.spec,
      metadata: { generateName },
      params: {},
      workspaces: [],
      timeouts: {},
    }
  }
  if (kind === 'PipelineRun') {
    const { pipelineRef, pipelineSpec, workspaces, timeouts = {} } = entry.spec
    const where = `PipelineRun ${name}: spec`
    const found = pipelineRef && (await catalog.find('Pipeline', pipelineRef.name, `${where}.pipelineRef`))
    const spec = pipelineSpec ?? found?.spec
    if (!spec && !pipelineRef) report(where, 'neither pipelineRef nor pipelineSpec')
    if (!spec) return undefined
    return {
      bare: false,
      where: found ? `Pipeline ${found.metadata.name}: spec` : `${where}.pipelineSpec`,
      pipelineName: found?.metadata.name ?? name,
      spec,
      metadata,
      params: toValues(entry.spec.params),
      workspaces,
      timeouts,
    }
  }
  if (kind === 'StepAction') return undefined
  const run = kind === 'TaskRun' ? entry.spec : undefined
  const found =
    run?.taskRef && (await catalog.find('Task', run.taskRef.name, `TaskRun ${name}: spec.taskRef`))
  const task = kind === 'Task' ? entry : found
  const spec = task?.spec ?? run?.taskSpec
  if (run && !run.taskRef && !run.taskSpec) report(`TaskRun ${name}: spec`, 'neither taskRef nor taskSpec')
  if (!spec) return undefined
  return {
    bare: true,
    where: task ? `Task ${task.metadata.name}: spec` : `TaskRun ${name}: spec.taskSpec`,
    pipelineName: '',
    spec: aroundTask(task?.metadata.name ?? name, spec, run),
    metadata: kind === 'Task' ? { generateName: `${name || 'task'}-` } : metadata,
    params: toValues(run?.params ?? []),
    workspaces: run?.workspaces ?? [],
    timeouts: {},
  }
}

/** A pipeline of one task that hands on all its params and workspaces. */
function aroundTask(
  name: string,
  spec: TaskSpec,
  run?: { retries?: number | undefined; timeout?: number | undefined },
): PipelineSpec {
  const params = spec.params.map((param) => {
    const star =
      param.type === 'array' ||
      param.type === 'object' ||
      typeof param.default === 'object' ||
      param.properties
    return { name: param.name, value: `$(params['${param.name}']${star ? '[*]' : ''})` }
  })
  const task = {
    name: name || 'task',
    taskSpec: spec,
    runAfter: [],
    params,
    when: [],
    workspaces: spec.workspaces.map((workspace) => ({ name: workspace.name })),
    retries: run?.retries ?? 0,
    timeout: run?.timeout,
  }
  const results = spec.results.map((result) => {
    const star = result.type === 'array' || result.type === 'object' || result.properties
    return { ...result, value: `$(tasks.${task.name}.results['${result.name}']${star ? '[*]' : ''})` }
  })
  return { params: spec.params, workspaces: spec.workspaces, tasks: [task], finally: [], results }
}
