/** Shows a run while it goes: plain lines, or on a terminal one line for each task that runs. */
import { monotonic } from '../platform/clock.ts'
import { isTerminal, terminalColumns, writeRaw } from '../platform/terminal.ts'
import { formatFailure, seconds, type TaskRunReport } from './report.ts'

export interface Progress {
  note(line: string): void
  started(taskRun: string): void
  line(taskRun: string, step: string, line: string): void
  ended(report: TaskRunReport): void
  /** Nothing more will come. */
  close(): void
}

export const silent: Progress = { note() {}, started() {}, line() {}, ended() {}, close() {} }

/** Every line as it comes. */
export const plainProgress = (write: (line: string) => void): Progress => ({
  note: write,
  started: (taskRun) => write(`[${taskRun}] started`),
  line: (taskRun, step, line) => write(`[${taskRun} ${step}] ${line}`),
  ended: (report) => describeEnd(report).forEach(write),
  close() {},
})

function describeEnd(report: TaskRunReport): string[] {
  if (report.status === 'Succeeded') return [`[${report.name}] succeeded after ${seconds(report.ms)}`]
  return [
    `[${report.name}] ${report.status.toLowerCase()} after ${seconds(report.ms)}`,
    ...formatFailure(report),
  ]
}

const REDRAW_MS = 200

/** What is over scrolls by; below it, one line for each running task, with its step's last line. */
export function terminalProgress(): Progress {
  const running = new Map<string, { since: number; last: string }>()
  let drawn = 0
  const draw = (above: readonly string[] = []): void => {
    const status = [...running].map(
      ([name, { since, last }]) => `  ${name}  ${seconds(monotonic() - since)}  ${last}`,
    )
    const lines = [...above, ...status.map((line) => printable(line).slice(0, terminalColumns() - 1))]
    // Up over what was drawn, clear to the end of the screen, and all anew.
    writeRaw(`${drawn > 0 ? `\x1b[${drawn}A` : ''}\x1b[J${lines.map((line) => `${line}\n`).join('')}`)
    drawn = status.length
  }
  const timer = setInterval(draw, REDRAW_MS)
  timer.unref()
  return {
    note: (line) => draw([line]),
    started: (taskRun) => void running.set(taskRun, { since: monotonic(), last: '' }),
    line(taskRun, step, line) {
      const task = running.get(taskRun)
      if (task) task.last = `${step}: ${line}`
    },
    ended(report) {
      running.delete(report.name)
      draw(describeEnd(report))
    },
    close: () => clearInterval(timer),
  }
}

/** Without what would move the cursor. */
// eslint-disable-next-line no-control-regex
const printable = (line: string): string => line.replace(/\x1b\[[0-9;?]*[A-Za-z]|[\x00-\x1f\x7f]/g, '')

export const progressHere = (write: (line: string) => void): Progress =>
  isTerminal() ? terminalProgress() : plainProgress(write)
