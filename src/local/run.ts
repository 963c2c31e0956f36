/** Runs a pipeline, or a task by itself, on folders of this machine. */
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { monotonic } from '../platform/clock.ts'
import { nodePath } from '../platform/child.ts'
import * as fs from '../platform/fs.ts'
import { SECRETS } from '../configuration.ts'
import { env } from '../platform/host.ts'
import { shortId } from '../platform/random.ts'
import { LOCAL_ENV } from '../identity.ts'
import { holdAlive, type Alive } from './alive.ts'
import { hasFailed, pipelineScope, type Tasks } from './decide.ts'
import type { Values } from './params.ts'
import { makePlan, type Plan } from './plan.ts'
import { silent, type Progress } from './progress.ts'
import { seconds, type RunReport } from './report.ts'
import { runTasks } from './schedule.ts'
import { deadline, Stop } from './stop.ts'
import type { RunContext } from './context.ts'
import { ReferenceError, references, replacer, textsIn } from './variables.ts'

const checkout = (path: string): string => fileURLToPath(new URL(`../../${path}`, import.meta.url))

export interface RunOptions {
  /** A name in pipelines/, or a YAML file with a Pipeline, PipelineRun, Task or TaskRun. */
  pipeline: string
  /** Folders of this machine, by the names of the pipeline's workspaces. */
  workspaces?: Record<string, string>
  /** Over those of a PipelineRun or TaskRun. */
  params?: Values
  /** For the whole run, over the file's `timeouts`; an hour where neither says. */
  timeoutMs?: number
  /** Keeps each step's output in a folder that the report names. */
  keepLogs?: boolean
  /** Cancels the run: steps get SIGTERM, finally tasks do not run. */
  cancel?: AbortSignal
  /** Ends what a cancel left running: SIGKILL. */
  kill?: AbortSignal
  /** From SIGTERM to SIGKILL: 30 s, as in Tekton. */
  graceMs?: number
  progress?: Progress
  /** The folder with pipelines/, tasks/ and stepactions/: this checkout. */
  catalog?: string
  /** The folder with our step programs: this checkout's. */
  programs?: string
}

const HOUR_MS = 3.6e6
const GRACE_MS = 30_000

/** @throws WorkspaceError USAGE, before anything runs, with all that is wrong with the files and options. */
export async function runPipeline(options: RunOptions): Promise<RunReport> {
  const { progress = silent, programs = checkout('src/steps'), catalog = checkout('.') } = options
  const { pipeline, params = {}, workspaces = {} } = options
  const plan = await makePlan({
    pipeline,
    params,
    workspaces,
    programs: resolve(programs),
    catalog: resolve(catalog),
  })
  progress.note(`${plan.name} (${plan.uid}): steps are not isolated; they run as you, on this machine`)
  for (const warning of plan.warnings) progress.note(`warning: ${warning}`)
  const logs = options.keepLogs ? await temporaryFolder(`${plan.name}-logs`) : undefined
  const folder = await temporaryFolder(plan.name)
  let alive: Alive | undefined
  try {
    await makeEmptyDirs(plan, folder)
    const shared = plan.workspaces['shared']
    const root = shared?.folder === undefined ? undefined : join(shared.folder, shared.subPath)
    alive = root === undefined ? undefined : await holdAlive(root, plan.uid)
    return await execute(options, {
      plan,
      folder,
      logs,
      programs: resolve(programs),
      env: stepEnv(),
      inherit: alive ? [alive.fd] : [],
      // A Task by itself is its own run.
      hold: async (uid) => (root === undefined || uid === plan.uid ? undefined : holdAlive(root, uid)),
      progress,
      graceMs: options.graceMs ?? GRACE_MS,
      kill: options.kill ?? new AbortController().signal,
    })
  } finally {
    progress.close()
    if (alive && !(await alive.release())) {
      progress.note(`warning: a process that a step of ${plan.name} started is still running`)
    }
    await fs.removeTree(folder)
  }
}

async function execute(options: RunOptions, context: RunContext): Promise<RunReport> {
  const { plan, logs } = context
  const { timeouts } = plan
  const started = monotonic()
  const whole = options.timeoutMs ?? timeouts.pipeline ?? HOUR_MS
  // As in Tekton, each of the two parts is what the other leaves of the whole, where only one is given.
  const less = (other: number | undefined): number | undefined =>
    other && timeouts.pipeline ? timeouts.pipeline - other : undefined
  const runLimit = deadline(whole, `the run took over ${seconds(whole)}`)
  const stop = AbortSignal.any([runLimit.signal, cancelled(options.cancel)])
  const done: Tasks = new Map()
  const section = async (final: boolean, ms: number | undefined): Promise<AbortSignal> => {
    const limit = deadline(ms, `the ${final ? 'finally ' : ''}tasks took over ${seconds(ms ?? 0)}`)
    const tasks = plan.tasks.filter((task) => task.final === final)
    await runTasks(tasks, done, context, AbortSignal.any([stop, limit.signal]))
    limit.clear()
    return limit.signal
  }
  const limits = [
    await section(false, timeouts.tasks ?? less(timeouts.finally)),
    // Neither a cancelled run nor one that is out of time runs its finally tasks: they are skipped there.
    await section(true, timeouts.finally ?? less(timeouts.tasks)),
  ]
  runLimit.clear()
  const stopped = [stop, ...limits]
    .map((signal): unknown => signal.reason)
    .find((reason) => reason instanceof Stop)
  const end = { ...outcome(plan, done, stopped), ms: monotonic() - started }
  const tasks = plan.tasks.flatMap((task) => done.get(task.name) ?? [])
  return { name: plan.name, uid: plan.uid, ...end, tasks, ...(logs ? { logs } : {}) }
}

type Outcome = Pick<RunReport, 'status' | 'exitCode' | 'message' | 'results'>

function outcome(plan: Plan, done: Tasks, stopped: Stop | undefined): Outcome {
  const { results, problems } = pipelineResults(plan, done)
  const invalid = [...done.values()].filter((task) => task.status === 'Invalid')
  const failures = plan.tasks.filter((task) => task.onError !== 'continue').map((task) => task.name)
  const failed = [...done.values()].filter((task) => hasFailed(task) && failures.includes(task.name))
  const exitCode =
    failed.flatMap((task) => task.runs).find((run) => run.failed?.exitCode)?.failed?.exitCode ?? 1
  if (stopped?.status === 'Cancelled') {
    return { status: 'Cancelled', exitCode: 130, message: 'finally tasks did not run', results }
  }
  if (stopped) return { status: 'TimedOut', exitCode, message: stopped.message, results }
  const messages = [...invalid.map((task) => `${task.name}: ${task.reason}`), ...problems]
  const message = messages.length > 0 ? { message: messages.join('; ') } : {}
  if (failed.length > 0 || problems.length > 0) return { status: 'Failed', exitCode, ...message, results }
  const skipped = [...done.values()].some((task) => task.status === 'Skipped')
  return { status: skipped ? 'Completed' : 'Succeeded', exitCode: 0, results }
}

/** The pipeline's results. One of a task that did not succeed is left out; any other that is not there is a failure. */
function pipelineResults(plan: Plan, done: Tasks): { results: Values; problems: string[] } {
  const results: Values = {}
  const problems: string[] = []
  const { tasks, ...scope } = pipelineScope(plan, done, false)
  const replace = replacer({ ...scope, tasks, finally: tasks })
  for (const { name, value } of plan.results) {
    try {
      results[name] = replace.value(value)
    } catch (error) {
      if (!(error instanceof ReferenceError)) throw error
      const from = textsIn(value)
        .flatMap(references)
        .map(([, task]) => done.get(task ?? ''))
      // A TaskRun by itself may leave out a result; a pipeline promises its own.
      if (!plan.bare && from.every((task) => task?.status === 'Succeeded'))
        problems.push(`the result ${name}: ${error.message}`)
    }
  }
  return { results, problems }
}

function cancelled(cancel: AbortSignal | undefined): AbortSignal {
  const controller = new AbortController()
  const abort = (): void => controller.abort(new Stop('Cancelled', 'the run was cancelled'))
  if (cancel?.aborted) abort()
  else cancel?.addEventListener('abort', abort, { once: true })
  return controller.signal
}

/** What every step's environment starts from: little of this machine's, so that a step depends on little of it. */
function stepEnv(): Record<string, string> {
  const kept = Object.entries(env).filter(
    ([name]) =>
      name === 'LANG' || name === 'TMPDIR' || name in SECRETS || name.startsWith('SHARED_WORKSPACE_'),
  )
  const path = `${nodePath.slice(0, nodePath.lastIndexOf('/'))}:${env['PATH'] ?? '/usr/local/bin:/usr/bin:/bin'}`
  const known = kept.flatMap(([name, value]) => (value === undefined ? [] : [[name, value]]))
  return { ...Object.fromEntries(known), PATH: path, [LOCAL_ENV]: '1', SHARED_WORKSPACE_LOG: 'text' }
}

async function temporaryFolder(name: string): Promise<string> {
  const folder = resolve(env['TMPDIR'] || '/tmp', `local-${name}-${shortId()}`)
  await fs.mkdirp(folder)
  await fs.chmod(folder, 0o700)
  return folder
}

async function makeEmptyDirs(plan: Plan, folder: string): Promise<void> {
  for (const [name, workspace] of Object.entries(plan.workspaces)) {
    if (!workspace || workspace.folder !== undefined) continue
    workspace.folder = join(folder, 'workspaces', name)
    await fs.mkdirp(workspace.folder)
  }
}
