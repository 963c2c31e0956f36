/** Whether a task runs, once everything that it depends on is over: the rules of Tekton's reconciler. */
import { fanOut } from './matrix.ts'
import type { Values } from './params.ts'
import { resultsUsedBy, type Plan, type TaskPlan } from './plan.ts'
import type { TaskReport } from './report.ts'
import { runScope } from './scope.ts'
import { Stop } from './stop.ts'
import { ReferenceError, replacer, type Scope } from './variables.ts'

/** What has become of the tasks that are over, by name, in the order of their end. */
export type Tasks = Map<string, TaskReport>

export type Decision =
  | { status: 'Run'; combinations: Values[] }
  | { status: 'Skipped'; reason: string }
  | { status: 'Invalid'; reason: string }

const WHEN = 'when expressions evaluated to false'

export function decide(task: TaskPlan, done: Tasks, plan: Plan, stop: AbortSignal): Decision {
  const scope = pipelineScope(plan, done, task.final)
  const skipped = (reason: string): Decision => ({ status: 'Skipped', reason })
  if (!task.final && stopping(plan, done)) return skipped('the run was stopping')
  if (stop.aborted) return skipped(stop.reason instanceof Stop ? stop.reason.message : 'the run was stopped')
  const missing = missingResult(task, done)
  // A finally task without its results never looks at its when.
  if (task.final && missing) return skipped('results were missing')
  if (!whenAllows(task, scope)) return skipped(WHEN)
  // What was skipped by its own when lets those after it run; any other skip is handed on.
  const parents = task.dependsOn.flatMap((name) => done.get(name) ?? [])
  if (parents.some((parent) => parent.status === 'Skipped' && parent.reason !== WHEN)) {
    return skipped('parent tasks were skipped')
  }
  if (missing) {
    const ofSkipped = done.get(missing.task)?.reason === WHEN
    if (ofSkipped || task.onError === 'continue') return skipped('results were missing')
    return { status: 'Invalid', reason: `the task ${missing.task} gave no result ${missing.result}` }
  }
  try {
    const combinations = combinationsOf(task, scope)
    return combinations.length > 0
      ? { status: 'Run', combinations }
      : skipped('matrix params have an empty array')
  } catch (error) {
    // An index or a key that a result turned out not to have.
    if (error instanceof ReferenceError) return { status: 'Invalid', reason: error.message }
    throw error
  }
}

/** Whether a task has failed, so that no other starts; finally tasks still do. */
export const stopping = (plan: Plan, done: Tasks): boolean =>
  plan.tasks.some((task) => !task.final && task.onError !== 'continue' && hasFailed(done.get(task.name)))

export const hasFailed = (report: TaskReport | undefined): boolean =>
  report !== undefined && report.status !== 'Succeeded' && report.status !== 'Skipped'

function missingResult(task: TaskPlan, done: Tasks): { task: string; result: string } | undefined {
  const missing = resultsUsedBy(task).find(([name, result]) => done.get(name)?.results[result] === undefined)
  return missing && { task: missing[0], result: missing[1] }
}

function whenAllows(task: TaskPlan, scope: Scope): boolean {
  // What cannot be replaced is compared as it is written, as in Tekton.
  const replace = replacer(scope, { lenient: true })
  return task.when.every(({ input, operator, values }) => {
    const value = replace.value(input)
    const found = replace.list(values).includes(typeof value === 'string' ? value : JSON.stringify(value))
    return found === (operator === 'in')
  })
}

/** The params of each TaskRun. */
function combinationsOf(task: TaskPlan, scope: Scope): Values[] {
  const replace = replacer(scope)
  const params = Object.fromEntries(task.params.map(({ name, value }) => [name, replace.value(value)]))
  if (!task.matrix) return [params]
  const combinations = fanOut({
    params: task.matrix.params.map(({ name, value }) => ({ name, value: replace.value(value) })),
    include: task.matrix.include.map((extra) =>
      Object.fromEntries(extra.params.map(({ name, value }) => [name, replace.text(value)])),
    ),
  })
  return combinations.map((combination) => ({ ...params, ...combination }))
}

/** What a pipeline's fields refer to once the tasks in `done` are over. */
export function pipelineScope(plan: Plan, done: Tasks, final: boolean): Scope {
  const tasks = Object.fromEntries(
    [...done].map(([name, report]) => [
      name,
      { results: report.results, ...(final ? { status: statusOf(report) } : {}) },
    ]),
  )
  return { ...runScope(plan), tasks: { ...tasks, ...(final ? { status: aggregate(plan, done) } : {}) } }
}

const statusOf = ({ status, runs }: TaskReport): string => {
  if (status === 'Succeeded') return status
  return runs.length > 0 ? 'Failed' : 'None'
}

/** `$(tasks.status)`: Failed before Completed (something was skipped) before Succeeded. */
function aggregate(plan: Plan, done: Tasks): string {
  const reports = plan.tasks.flatMap((task) => (task.final ? [] : (done.get(task.name) ?? [])))
  if (reports.some((report) => statusOf(report) === 'Failed')) return 'Failed'
  return reports.some((report) => report.status === 'Skipped') ? 'Completed' : 'Succeeded'
}
