/** What came of a run: for programs, and as a table for people. */
import type { Values } from './params.ts'
import type { Value } from './variables.ts'

export type Status = 'Succeeded' | 'Failed' | 'Cancelled' | 'TimedOut'

/** One TaskRun; a task with a matrix has several. */
export interface TaskRunReport {
  name: string
  task: string
  status: Status
  attempts: number
  ms: number
  /** What went wrong. */
  message?: string
  /** The step that failed, with its exit code and its last lines. */
  failed?: { step: string; exitCode: number; lastLines: string[] }
  results: Values
}

/** One task of the pipeline. */
export interface TaskReport {
  name: string
  /** `Invalid`: it refers to results that are not there. */
  status: Status | 'Skipped' | 'Invalid'
  /** Why it was skipped, in Tekton's words, or what is invalid. */
  reason?: string
  final: boolean
  ms: number
  runs: TaskRunReport[]
  results: Values
}

export interface RunReport {
  name: string
  uid: string
  /** `Completed`: nothing failed, something was skipped. */
  status: Status | 'Completed'
  message?: string
  /** 0, else that of the first step that failed, else 1; 130 when cancelled. */
  exitCode: number
  ms: number
  tasks: TaskReport[]
  results: Values
  /** The folder with the steps' output, where it was to be kept. */
  logs?: string
}

export const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`

/** The table at the end of a run, then its results. */
export function formatReport(report: RunReport): string {
  const rows = report.tasks.flatMap((task) =>
    task.runs.length === 0
      ? [[task.name, statusOf(task), '', '', '', '']]
      : task.runs.flatMap((run) => rowsOf(task, run)),
  )
  const lines = table([['TASK', 'STATUS', 'TIME', 'ARTIFACT', 'DIGEST', 'BYTES'], ...rows])
  const results = Object.entries(report.results)
  if (results.length > 0)
    lines.push('', 'Results:', ...results.map(([name, value]) => `  ${name}: ${plain(value)}`))
  const message = report.message ? `: ${report.message}` : ''
  lines.push('', `${report.name} ${report.status} after ${seconds(report.ms)}${message}`)
  if (report.logs) lines.push(`logs: ${report.logs}`)
  return lines.join('\n')
}

const statusOf = (task: TaskReport): string => (task.reason ? `${task.status} (${task.reason})` : task.status)
const plain = (value: Value): string => (typeof value === 'string' ? value : JSON.stringify(value))

function rowsOf(task: TaskReport, run: TaskRunReport): string[][] {
  const name = task.runs.length > 1 ? run.name : task.name
  const status = run.attempts > 1 ? `${run.status} (attempt ${run.attempts})` : run.status
  const { size = '' } = run.results
  const artifacts = Object.entries(run.results).flatMap(([result, value]) => {
    const [uri, digest] = artifactOf(result, value) ?? []
    // The last two parts of the uri are <task>/<output>; the run is the same for all.
    return uri && digest ? [[uri.split('/').slice(-2).join('/'), digest.slice(0, 19), plain(size)]] : []
  })
  const [first = ['', '', ''], ...others] = artifacts
  return [[name, status, seconds(run.ms), ...first], ...others.map((artifact) => ['', '', '', ...artifact])]
}

/** An artifact among a task's results: artifact-store's own, or the pinned string that tasks hand on. */
function artifactOf(result: string, value: Value): (string | undefined)[] | undefined {
  if (result.endsWith('ARTIFACT_OUTPUTS') && typeof value === 'object' && !Array.isArray(value))
    return [value['uri'], value['digest']]
  if (result === 'artifact' && typeof value === 'string') return value.split('@')
  return undefined
}

function table(rows: readonly (readonly string[])[]): string[] {
  const widths = (rows[0] ?? []).map((_, i) => Math.max(...rows.map((row) => (row[i] ?? '').length)))
  return rows.map((row) =>
    row
      .map((cell, i) => cell.padEnd(widths[i] ?? 0))
      .join('  ')
      .trimEnd(),
  )
}

/** A step that failed, for people: what, how, and its last lines. */
export function formatFailure(run: TaskRunReport): string[] {
  if (!run.failed) return [`${run.name} ${run.status}: ${run.message ?? ''}`]
  const { step, exitCode, lastLines } = run.failed
  const head = `${run.name}: step ${step} failed with exit code ${exitCode}${run.message ? ` (${run.message})` : ''}`
  return [head, ...lastLines.map((line) => `    ${line}`)]
}
