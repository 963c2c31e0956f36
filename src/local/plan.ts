/** Reads everything that a run needs and checks all of it before anything starts. */
import { join, resolve } from 'node:path'
import { stepOfCommand } from '../contract.ts'
import { WorkspaceError } from '../errors.ts'
import { stat } from '../platform/fs.ts'
import { shortId, uuid } from '../platform/random.ts'
import { Catalog } from './catalog.ts'
import { checkOrder, checkTask } from './check.ts'
import { findEntry, type Entry } from './entry.ts'
import { checkParams, samplesOf, typed, withDefaults, type Values } from './params.ts'
import { planSteps, type StepPlan } from './step.ts'
import { sampleScope } from './scope.ts'
import type { PipelineSpec, PipelineTask, TaskSpec } from './schema.ts'
import { attempt, references, replacer, textsIn, type Report } from './variables.ts'

export interface PlanOptions {
  /** A name in pipelines/, or a YAML file with a Pipeline, PipelineRun, Task or TaskRun. */
  pipeline: string
  /** The folder with pipelines/, tasks/ and stepactions/. */
  catalog: string
  params: Values
  /** Workspaces by name, as folders. */
  workspaces: Record<string, string>
  /** The folder of our own step programs, `<step>/main.ts`. */
  programs: string
}

export interface TaskPlan extends Omit<PipelineTask, 'taskRef' | 'taskSpec'> {
  /** Where its fields are, for problems. */
  where: string
  /** The Task's name. */
  task: string
  /** Where the Task's fields are. */
  specWhere: string
  spec: TaskSpec
  steps: StepPlan[]
  /** They start before the steps and are stopped after them. */
  sidecars: StepPlan[]
  final: boolean
  dependsOn: string[]
  /** An embedded spec sees the pipeline's params without declaring them. */
  embedded: boolean
}

export interface Plan {
  name: string
  uid: string
  /** A Task or TaskRun by itself: its TaskRun has the run's name and uid, and no PipelineRun. */
  bare: boolean
  pipelineName: string
  params: Values
  /** The declared workspaces; undefined where not bound. An emptyDir has no folder yet. */
  workspaces: Record<string, { folder: string | undefined; subPath: string } | undefined>
  tasks: TaskPlan[]
  results: PipelineSpec['results']
  timeouts: Entry['timeouts']
  /** What will go otherwise than in a cluster. */
  warnings: string[]
}

/** @throws WorkspaceError USAGE with everything that is wrong. */
export async function makePlan(options: PlanOptions): Promise<Plan> {
  const problems: string[] = []
  const report: Report = (where, problem) => void problems.push(where ? `${where}: ${problem}` : problem)
  const catalog = new Catalog(options.catalog, report)
  const entry = await findEntry(catalog, options.pipeline, report)
  const plan = entry && (await planEntry(entry, options, catalog, report))
  if (plan && problems.length === 0) return plan
  const list = [...new Set(problems)].map((problem) => `\n  - ${problem}`).join('')
  throw new WorkspaceError('USAGE', `cannot run ${options.pipeline}:${list}`)
}

async function planEntry(
  entry: Entry,
  options: PlanOptions,
  catalog: Catalog,
  report: Report,
): Promise<Plan> {
  const { spec, where, metadata } = entry
  const given = { ...entry.params, ...typed(spec.params, options.params) }
  for (const problem of checkParams(spec.params, given)) report(`${where}.params`, problem)
  const values = attempt(report, `${where}.params`, {}, () => withDefaults(spec.params, given))
  const plan: Plan = {
    name: metadata.name ?? `${metadata.generateName ?? 'run-'}${shortId().slice(0, 5)}`,
    uid: uuid(),
    bare: entry.bare,
    pipelineName: entry.pipelineName,
    params: { ...samplesOf(spec.params), ...values },
    workspaces: await bindWorkspaces(entry, options.workspaces, report),
    tasks: await planTasks(entry, catalog, report),
    results: spec.results,
    timeouts: entry.timeouts,
    warnings: [],
  }
  for (const task of plan.tasks) checkTask(task, plan, report)
  checkOrder(plan.tasks, report)
  for (const step of plan.tasks.flatMap((task) => task.steps)) {
    const program = stepOfCommand(step.command ?? [])
    if (program && !(await stat(join(options.programs, program, 'main.ts')).catch(() => undefined))) {
      report(`${step.where}.command`, `no step program ${program} in ${options.programs}`)
    }
  }
  const samples = replacer(sampleScope(plan, 'results'), { sample: true })
  for (const [i, result] of spec.results.entries()) {
    attempt(report, `${where}.results[${i}].value`, '', () => samples.value(result.value))
  }
  return plan
}

type Folders = Record<string, string>

async function bindWorkspaces(entry: Entry, folders: Folders, report: Report): Promise<Plan['workspaces']> {
  const bound: Plan['workspaces'] = {}
  for (const { name, optional } of entry.spec.workspaces) {
    const ofRun = entry.workspaces.find((workspace) => workspace.name === name)
    const folder = folders[name]
    bound[name] = undefined
    if (folder !== undefined) bound[name] = { folder: resolve(folder), subPath: ofRun?.subPath ?? '' }
    else if (ofRun?.emptyDir !== undefined) bound[name] = { folder: undefined, subPath: '' }
    else if (!optional || ofRun) {
      report(
        `${entry.where}.workspaces`,
        `the workspace ${name} is not bound; add --workspace ${name}=<folder>`,
      )
      // Said once: the tasks that use it need not complain too.
      bound[name] = { folder: undefined, subPath: '' }
    }
  }
  for (const [name, folder] of Object.entries(folders)) {
    const known = Object.keys(bound).join(', ') || 'none'
    if (!Object.hasOwn(bound, name))
      report(`--workspace ${name}`, `no such workspace is declared; there is ${known}`)
    else if (!(await isFolder(resolve(folder)))) report(`--workspace ${name}`, `${folder} is not a folder`)
  }
  return bound
}

const isFolder = (path: string): Promise<boolean> =>
  stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  )

async function planTasks(entry: Entry, catalog: Catalog, report: Report): Promise<TaskPlan[]> {
  const { tasks, finally: finals } = entry.spec
  const planned = await Promise.all([
    ...tasks.map((task, i) => planTask(entry, task, `tasks[${i}]`, false, catalog, report)),
    ...finals.map((task, i) => planTask(entry, task, `finally[${i}]`, true, catalog, report)),
  ])
  const names = [...tasks, ...finals].map((task) => task.name)
  for (const name of new Set(names.filter((one, i) => names.indexOf(one) < i))) {
    report(entry.where, `two tasks have the name ${name}`)
  }
  return planned.filter((task) => task !== undefined)
}

async function planTask(
  { bare, where: pipeline }: Entry,
  task: PipelineTask,
  section: string,
  final: boolean,
  catalog: Catalog,
  report: Report,
): Promise<TaskPlan | undefined> {
  const where = bare ? pipeline : `${pipeline}.${section}`
  const { taskRef, taskSpec, ...rest } = task
  if (!taskRef === !taskSpec) report(where, 'one of taskRef and taskSpec is needed')
  const found = taskRef && (await catalog.resolve('Task', taskRef, `${where}.taskRef`))
  const spec = found?.spec ?? taskSpec
  if (!spec) return undefined
  const embeddedWhere = bare ? where : `${where}.taskSpec`
  const specWhere = found ? `Task ${found.metadata.name}: spec` : embeddedWhere
  return {
    ...rest,
    where,
    specWhere,
    spec,
    final,
    task: found?.metadata.name ?? task.name,
    embedded: !taskRef && !bare,
    steps: await planSteps(spec, `${specWhere}.steps`, catalog, report),
    // A step template is for steps.
    sidecars: await planSteps(
      { steps: spec.sidecars, stepTemplate: {} },
      `${specWhere}.sidecars`,
      catalog,
      report,
    ),
    dependsOn: [...new Set([...task.runAfter, ...resultsUsedBy(task).map(([name]) => name)])],
  }
}

/** The results of other tasks that a task refers to, as [task, result]. */
export const resultsUsedBy = (
  task: Pick<PipelineTask, 'params' | 'matrix' | 'when' | 'workspaces'>,
): [string, string][] =>
  textsIn([task.params, task.matrix, task.when, task.workspaces])
    .flatMap(references)
    .flatMap(([root, name, what, result]) =>
      root === 'tasks' && what === 'results' && name !== undefined && result !== undefined
        ? [[name, result]]
        : [],
    )
