/** This process and its host: environment, arguments, signals, output, exit. */
import { writeFile } from 'node:fs/promises'
import { hostname } from 'node:os'

export const env: Record<string, string | undefined> = process.env
export const args: readonly string[] = process.argv.slice(2)
export const hostName = hostname

/** Operating system and processor as container images name them: `linux-amd64`. */
export const platformName = (): string =>
  `${process.platform}-${process.arch === 'x64' ? 'amd64' : process.arch}`

/** Lines for people on a terminal or where SHARED_WORKSPACE_LOG=text asks for them, JSON lines in a pod. */
export function logFormat(): 'text' | 'json' {
  const wanted = env['SHARED_WORKSPACE_LOG']
  if (wanted === 'text' || wanted === 'json') return wanted
  return process.stdout.isTTY ? 'text' : 'json'
}

export const writeLine = (line: string): void => void process.stdout.write(`${line}\n`)

let logStream: NodeJS.WriteStream = process.stdout

/** A line of the log: on stdout, unless somebody took that for content. */
export const writeLogLine = (line: string): void => void logStream.write(`${line}\n`)

/** Gives stdout to the caller, who writes by the function; from here on the log goes to stderr. */
export function takeStdout(): (chunk: Uint8Array) => Promise<void> {
  logStream = process.stderr
  return (chunk) =>
    new Promise((resolve, reject) => {
      process.stdout.write(chunk, (error) => (error ? reject(error) : resolve()))
    })
}

/**
 * Keeps the memory for new objects as small as it is at the start: by default V8 lets it grow to 48 MiB and more
 * before it looks what of it is still in use. That halves the memory of a step with 100,000 files, at no cost in time.
 * For those who see that much is to come: to load node:v8 is a tenth of what it takes to start a step.
 */
export const saveMemory = (): void =>
  process.getBuiltinModule('node:v8').setFlagsFromString('--semi-space-growth-factor=1')

/** The code that the process ends with once nothing is left to do. */
export const endWith = (code: number): void => void (process.exitCode = code)

/** The environment that this process was started with. */
export const ownEnv = (): Record<string, string> =>
  Object.fromEntries(
    Object.entries(process.env).flatMap(([key, value]) => (value === undefined ? [] : [[key, value]])),
  )

export const workingFolder = (): string => process.cwd()

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
