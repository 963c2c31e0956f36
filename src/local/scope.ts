/** Which variables a field of the pipeline, or of a task, may refer to. */
import { join } from 'node:path'
import { samplesOf, type Values } from './params.ts'
import type { Plan, TaskPlan } from './plan.ts'
import type { StepPlan } from './step.ts'
import type { Scope } from './variables.ts'

/** The namespace of every local run. */
export const NAMESPACE = 'local'

/** What the tasks of a pipeline may refer to beside other tasks. */
export const runScope = (plan: Plan): Scope => ({
  params: plan.params,
  context: {
    pipelineRun: { name: plan.name, namespace: NAMESPACE, uid: plan.uid },
    pipeline: { name: plan.pipelineName },
  },
  workspaces: Object.fromEntries(
    Object.entries(plan.workspaces).map(([name, bound]) => [name, { bound: String(bound !== undefined) }]),
  ),
})

/** What a pipeline task's fields may refer to, with samples for what only a run knows. */
export function sampleScope(plan: Plan, of: TaskPlan | 'results'): Scope {
  const withStatus = of !== 'results' && of.final ? { status: '' } : {}
  const samples = (final: boolean): Scope =>
    Object.fromEntries(
      plan.tasks
        .filter((task) => task.final === final)
        .map((task) => [task.name, { results: sampleResults(task), ...withStatus }]),
    )
  const finals = of === 'results' ? { finally: samples(true) } : {}
  return { ...runScope(plan), tasks: { ...samples(false), ...withStatus }, ...finals }
}

/** A matrix makes an array of each text. */
const sampleResults = (task: TaskPlan): Values =>
  Object.fromEntries(
    Object.entries(samplesOf(task.spec.results)).map(([name, value]) => [
      name,
      task.matrix && value === '' ? [''] : value,
    ]),
  )

export interface TaskSurroundings {
  taskRun: { name: string; uid: string }
  params: Values
  /** The folder of each bound workspace. */
  workspaces: Record<string, string>
  /** The attempt's folder, where the pod's own paths are. */
  folder: string
}

/** What a task's steps may refer to; `steps` holds the results of those before. */
export const taskScope = (
  task: TaskPlan,
  { taskRun, params, workspaces, folder }: TaskSurroundings,
): Scope => ({
  params,
  context: { taskRun: { ...taskRun, namespace: NAMESPACE }, task: { name: task.task } },
  workspaces: Object.fromEntries(
    task.spec.workspaces.map(({ name }) => [
      name,
      { path: workspaces[name] ?? '', bound: String(workspaces[name] !== undefined) },
    ]),
  ),
  results: Object.fromEntries(
    task.spec.results.map(({ name }) => [name, { path: taskResultPath(folder, name) }]),
  ),
})

export const stepScope = (step: StepPlan, folder: string): Scope => ({
  results: Object.fromEntries(
    step.results.map(({ name }) => [name, { path: stepResultPath(folder, step.name, name) }]),
  ),
})

export const taskResultPath = (folder: string, result: string): string =>
  join(folder, 'tekton/results', result)
export const stepResultPath = (folder: string, step: string, result: string): string =>
  join(folder, 'tekton/steps', step, 'results', result)
