/** Child processes, each leading a process group of its own, so that all of what it starts can be stopped. */
import { spawn } from 'node:child_process'
import { constants } from 'node:os'
import { createInterface } from 'node:readline'
import { errno } from '../errors.ts'

export interface ChildOptions {
  command: string
  args: readonly string[]
  cwd: string
  /** The whole environment: nothing is inherited. */
  env: Record<string, string>
  /** Descriptors that the child gets, as 3, 4, …, and hands on to what it starts. */
  inherit: readonly number[]
  /** Takes what it writes, line by line; without it, the child writes where this process does. */
  onLine?: (line: string) => void
}

export interface Child {
  /** The exit code; 128 + n after signal n, 127 where the command does not exist, 126 where it cannot run. */
  readonly ended: Promise<number>
  /** Sends a signal to the group. */
  signal(name: NodeJS.Signals): void
  /** SIGTERM to the group now, SIGKILL once `graceMs` are over. */
  stop(graceMs: number): void
  /** SIGKILL to the group. */
  kill(): void
}

/** How long output may trickle in after the end, from a process that left the group and kept the pipe. */
const OUTPUT_GRACE_MS = 500

export function startChild(options: ChildOptions): Child {
  const { command, args, cwd, env, inherit, onLine } = options
  const child = spawn(command, args, {
    cwd,
    env,
    detached: true,
    stdio: [
      'ignore',
      ...(onLine ? (['pipe', 'pipe'] as const) : (['inherit', 'inherit'] as const)),
      ...inherit,
    ],
  })
  for (const stream of [child.stdout, child.stderr]) {
    if (stream && onLine) createInterface({ input: stream, crlfDelay: Infinity }).on('line', onLine)
  }
  let over = false
  let grace: NodeJS.Timeout | undefined
  const signal = (name: NodeJS.Signals): void => {
    if (!over && child.pid !== undefined) signalGroup(child.pid, name)
  }
  const ended = new Promise<number>((resolve) => {
    child.once('error', (error) => {
      if (child.pid !== undefined) return
      const say = onLine ?? console.error
      say(`cannot start ${command}: ${error.message}`)
      resolve(errno(error) === 'ENOENT' ? 127 : 126)
    })
    child.once('exit', (code, name) => {
      // As in a container: once the first process is gone, what it left behind goes too.
      signal('SIGKILL')
      over = true
      clearTimeout(grace)
      const late = setTimeout(() => {
        child.stdout?.destroy()
        child.stderr?.destroy()
      }, OUTPUT_GRACE_MS)
      child.once('close', () => {
        clearTimeout(late)
        resolve(code ?? 128 + (name ? constants.signals[name] : 0))
      })
    })
  })
  return {
    ended,
    signal,
    stop(graceMs) {
      if (over) return
      signal('SIGTERM')
      grace ??= setTimeout(() => signal('SIGKILL'), graceMs)
    },
    kill: () => signal('SIGKILL'),
  }
}

function signalGroup(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(-pid, name)
  } catch (error) {
    if (errno(error) !== 'ESRCH') throw error
  }
}

/** Hands on to the child what this process is told by a signal, until the child has ended. */
export function forwardSignals(child: Child, onForward: (signal: NodeJS.Signals) => void): void {
  const signals = ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGQUIT', 'SIGUSR1', 'SIGUSR2'] as const
  const forward = (signal: NodeJS.Signals): void => {
    onForward(signal)
    child.signal(signal)
  }
  for (const signal of signals) process.on(signal, forward)
  void child.ended.then(() => {
    for (const signal of signals) process.off(signal, forward)
  })
}

/** Calls `handler` at each SIGINT, SIGTERM and SIGHUP, with how many there were. @returns what ends it. */
export function onStopSignals(handler: (count: number, signal: NodeJS.Signals) => void): () => void {
  let count = 0
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const
  const received = (signal: NodeJS.Signals): void => handler(++count, signal)
  for (const signal of signals) process.on(signal, received)
  return () => {
    for (const signal of signals) process.off(signal, received)
  }
}

/** The Node that runs this process. */
export const nodePath = process.execPath
