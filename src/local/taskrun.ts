/** Runs one TaskRun: again after a failure while there are retries, within its timeout. */
import { toWorkspaceError } from '../errors.ts'
import { monotonic } from '../platform/clock.ts'
import type { Alive } from './alive.ts'
import { Attempt } from './attempt.ts'
import type { End, RunContext, TaskRun } from './context.ts'
import { seconds, type TaskRunReport } from './report.ts'
import { deadline } from './stop.ts'

export async function runTaskRun(
  run: TaskRun,
  context: RunContext,
  stop: AbortSignal,
): Promise<TaskRunReport> {
  const started = monotonic()
  context.progress.started(run.name)
  let alive: Alive | undefined
  let end: Attempts
  try {
    // A lock may belong to a TaskRun, whose life others must be able to tell from the whole run's.
    alive = await context.hold(run.uid)
    const inherit = alive ? [...context.inherit, alive.fd] : context.inherit
    end = await runAttempts(run, { ...context, inherit }, stop)
  } catch (error) {
    // Such as a full disk: this TaskRun fails, those beside it go on.
    end = { ...failure(error), attempts: 1 }
  } finally {
    await alive?.release()
  }
  const report = { name: run.name, task: run.task.name, ms: monotonic() - started, ...end }
  context.progress.ended(report)
  return report
}

type Attempts = End & { attempts: number }

async function runAttempts(run: TaskRun, context: RunContext, stop: AbortSignal): Promise<Attempts> {
  const { task } = run
  for (let attempts = 1; ; attempts++) {
    const limit = deadline(task.timeout, `the task took over ${seconds(task.timeout ?? 0)}`)
    const end = await runAttempt(run, attempts, context, AbortSignal.any([stop, limit.signal]))
    limit.clear()
    if (end.status === 'Succeeded' || stop.aborted || attempts > task.retries) return { ...end, attempts }
    const why = end.failed ? `step ${end.failed.step}, exit code ${end.failed.exitCode}` : end.message
    context.progress.note(`[${run.name}] attempt ${attempts} failed (${why}); trying again`)
  }
}

async function runAttempt(
  run: TaskRun,
  attempt: number,
  context: RunContext,
  stop: AbortSignal,
): Promise<End> {
  try {
    return await new Attempt(run, attempt, context, stop).run()
  } catch (error) {
    return failure(error)
  }
}

/** Such as of a result that is not of its type. */
const failure = (error: unknown): End => ({
  status: 'Failed',
  message: toWorkspaceError(error).message,
  results: {},
})
