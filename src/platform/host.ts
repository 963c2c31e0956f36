/** This process and its host: environment, arguments, signals, output, exit. */
import { writeFile } from 'node:fs/promises'
import { hostname } from 'node:os'

export const env: Record<string, string | undefined> = process.env
export const args: readonly string[] = process.argv.slice(2)
export const hostName = hostname

/** Lines for people on a terminal or where SHARED_WORKSPACE_LOG=text asks for them, JSON lines in a pod. */
export function logFormat(): 'text' | 'json' {
  const wanted = env['SHARED_WORKSPACE_LOG']
  if (wanted === 'text' || wanted === 'json') return wanted
  return process.stdout.isTTY ? 'text' : 'json'
}

export const writeLine = (line: string): void => void process.stdout.write(`${line}\n`)

/** Ends the process once what was written has left it. */
export function exit(code: number): void {
  process.exitCode = code
  process.stdout.write('', () => process.exit(code))
}

export async function writeResult(path: string, value: string): Promise<void> {
  await writeFile(path, value)
}

export interface Stop {
  signal: AbortSignal
  /** Which signal came, once one has. */
  readonly signalled: NodeJS.Signals | undefined
  dispose(): void
}

/** An abort signal that SIGTERM and SIGINT fire. */
export function abortOnSignals(): Stop {
  const controller = new AbortController()
  let signalled: NodeJS.Signals | undefined
  const stop = (signal: NodeJS.Signals): void => {
    signalled ??= signal
    controller.abort(new Error(`stopped by ${signal}`))
  }
  process.on('SIGTERM', stop).on('SIGINT', stop)
  return {
    signal: controller.signal,
    get signalled() {
      return signalled
    },
    dispose: () => void process.off('SIGTERM', stop).off('SIGINT', stop),
  }
}
