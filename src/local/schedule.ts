/** Runs the tasks of a pipeline in the order of their dependencies, and skips those that Tekton would skip. */
import { join, sep } from 'node:path'
import { toWorkspaceError } from '../errors.ts'
import { mkdirp } from '../platform/fs.ts'
import { uuid } from '../platform/random.ts'
import type { RunContext, TaskRun } from './context.ts'
import { childName } from './names.ts'
import { decide, pipelineScope, stopping, type Tasks } from './decide.ts'
import type { Values } from './params.ts'
import type { TaskPlan } from './plan.ts'
import type { TaskReport, TaskRunReport } from './report.ts'
import { runTaskRun } from './taskrun.ts'
import { ReferenceError, replacer, type Value } from './variables.ts'

/** Runs `tasks` until all are over, side by side where nothing orders them; adds what came of them to `done`. */
export async function runTasks(
  tasks: readonly TaskPlan[],
  done: Tasks,
  context: RunContext,
  stop: AbortSignal,
): Promise<void> {
  const pending = new Set(tasks)
  const running = new Map<TaskPlan, Promise<void>>()
  const start = (task: TaskPlan): void => {
    pending.delete(task)
    const nothing = { name: task.name, final: task.final, ms: 0, runs: [], results: {} }
    const decision = decide(task, done, context.plan, stop)
    if (decision.status !== 'Run') return void done.set(task.name, { ...nothing, ...decision })
    const ended = runTask(task, decision.combinations, done, context, stop)
      // Such as a subPath that leads out of its workspace: no reason to leave the other tasks alone.
      .catch((error): TaskReport => ({
        ...nothing,
        status: 'Invalid',
        reason: toWorkspaceError(error).message,
      }))
      .then((report) => {
        done.set(task.name, report)
        running.delete(task)
      })
    running.set(task, ended)
  }
  const startReady = (): boolean => {
    const ready = [...pending].filter((task) => isReady(task, done) || stopping(context.plan, done))
    ready.forEach(start)
    return ready.length > 0
  }
  for (;;) {
    // What is skipped makes others ready at once: only running tasks are waited for.
    while (startReady());
    if (running.size === 0) return
    await Promise.race(running.values())
  }
}

const isReady = (task: TaskPlan, done: Tasks): boolean => task.dependsOn.every((name) => done.has(name))

/** A task with a matrix has a TaskRun for each combination, side by side. */
async function runTask(
  task: TaskPlan,
  combinations: readonly Values[],
  done: Tasks,
  context: RunContext,
  stop: AbortSignal,
): Promise<TaskReport> {
  const { plan } = context
  const workspaces = await taskWorkspaces(task, done, context)
  const runs = await Promise.all(
    combinations.map((params, i) => {
      const suffix = combinations.length > 1 ? `-${task.name}-${i}` : `-${task.name}`
      const name = plan.bare ? plan.name : childName(plan.name, suffix)
      const run: TaskRun = { task, name, uid: plan.bare ? plan.uid : uuid(), params, workspaces }
      return runTaskRun(run, context, stop)
    }),
  )
  const failed = runs.find((run) => run.status === 'Failed') ?? runs.find((run) => run.status !== 'Succeeded')
  return {
    name: task.name,
    status: failed?.status ?? 'Succeeded',
    final: task.final,
    ms: Math.max(...runs.map((run) => run.ms)),
    runs,
    results: task.matrix ? gather(runs) : (runs[0]?.results ?? {}),
  }
}

async function taskWorkspaces(
  task: TaskPlan,
  done: Tasks,
  { plan }: RunContext,
): Promise<Record<string, string>> {
  const replace = replacer(pipelineScope(plan, done, task.final))
  const folders: Record<string, string> = {}
  for (const { name, workspace = name, subPath = '' } of task.workspaces) {
    const bound = plan.workspaces[workspace]
    if (bound?.folder === undefined) continue
    const folder = inWorkspace(bound.folder, bound.subPath, replace.text(subPath))
    await mkdirp(folder)
    folders[name] = folder
  }
  return folders
}

/** The results of a matrix: an array of each text, in the order of the TaskRuns' names, as Tekton sorts them. */
function gather(runs: readonly TaskRunReport[]): Record<string, Value> {
  const results: Record<string, string[]> = {}
  for (const run of [...runs].sort((a, b) => (a.name < b.name ? -1 : 1))) {
    for (const [name, value] of Object.entries(run.results)) {
      ;(results[name] ??= []).push(typeof value === 'string' ? value : '')
    }
  }
  return results
}

/** The folder of a workspace's subPath. @throws ReferenceError where it leads out of the workspace. */
function inWorkspace(folder: string, ...subPaths: readonly string[]): string {
  const path = join(folder, ...subPaths)
  if (path === folder || path.startsWith(folder + sep)) return path.replace(/\/$/, '')
  throw new ReferenceError(`the subPath ${subPaths.filter(Boolean).join('/')} leads out of the workspace`)
}
