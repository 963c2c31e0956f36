/** What the parts of a run hand to each other. */
import type { Alive } from './alive.ts'
import type { Values } from './params.ts'
import type { Plan, TaskPlan } from './plan.ts'
import type { Progress } from './progress.ts'
import type { TaskRunReport } from './report.ts'

/** What all TaskRuns of a run share. */
export interface RunContext {
  plan: Plan
  /** A temporary folder of the run. */
  folder: string
  /** Where to keep the steps' output, or undefined. */
  logs: string | undefined
  /** The folder of our own step programs. */
  programs: string
  /** The environment that every step starts from. */
  env: Record<string, string>
  /** Descriptors for every child. */
  inherit: readonly number[]
  /** Holds the lock that tells that a TaskRun lives; undefined where there is no volume to tell it on. */
  hold: (uid: string) => Promise<Alive | undefined>
  progress: Progress
  /** From SIGTERM to SIGKILL. */
  graceMs: number
  /** Ends the grace. */
  kill: AbortSignal
}

export interface TaskRun {
  task: TaskPlan
  name: string
  uid: string
  params: Values
  /** The folder of each bound workspace, by the Task's name for it. */
  workspaces: Record<string, string>
}

/** How an attempt at a TaskRun ended. */
export type End = Pick<TaskRunReport, 'status' | 'message' | 'failed' | 'results'>
