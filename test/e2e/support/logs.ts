/** The JSON lines that the product's steps log. */
import { kubectl, type KubeItem } from './cluster.ts'

export type LogLine = Record<string, unknown>

function parse(line: string): LogLine | undefined {
  try {
    const value: unknown = JSON.parse(line)
    return typeof value === 'object' && value !== null ? { ...value } : undefined
  } catch {
    // A script's own line.
    return undefined
  }
}

const linesIn = (log: string): LogLine[] =>
  log
    .split('\n')
    .map(parse)
    .filter((line) => line !== undefined)

export const eventsIn = (log: string, event: string): LogLine[] =>
  linesIn(log).filter((line) => line['event'] === event)

export const errorIn = (log: string): LogLine | undefined =>
  linesIn(log).find((line) => line['level'] === 'error')

/** The log of each step of a TaskRun. */
export async function logsOfSteps(namespace: string, run: KubeItem): Promise<Record<string, string>> {
  const steps = run.status.steps ?? []
  const logs = steps.map(async ({ name }) => {
    const log = await kubectl('logs', '-n', namespace, run.status.podName!, '-c', `step-${name}`, '--tail=-1')
    return [name, log] as const
  })
  return Object.fromEntries(await Promise.all(logs))
}

/** With which code each step of a TaskRun has ended. */
export const exitCodesOf = ({ status }: KubeItem): Record<string, number | undefined> =>
  Object.fromEntries((status.steps ?? []).map((step) => [step.name, step.terminated?.exitCode]))
