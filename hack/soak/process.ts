/** The processes of a soak, and what is done to them. */
import { fork } from 'node:child_process'
import { join } from 'node:path'
import { env } from 'node:process'
import { now } from './history.ts'
import type { WorkerOptions } from './worker.ts'

export interface Process {
  id: string
  /** Which of the mounts it uses. */
  mount: number
  /** When it was sent its SIGKILL. */
  killedAt: number | undefined
  kill(): void
  pause(): void
  resume(): void
  /** Lets it finish what it is at. */
  stop(): void
  /** Resolves with what is wrong about its end, if it ended by itself and not well. */
  ended: Promise<string | undefined>
}

export interface Setting extends Omit<WorkerOptions, 'id' | 'root' | 'history' | 'group'> {
  /** The bundled program of a process. */
  program: string
  /** The volume by each of the mounts. */
  roots: readonly string[]
  /** The folder of the histories. */
  histories: string
}

export function startProcess(
  setting: Setting,
  id: string,
  { mount, group }: { mount: number; group: number },
  onAcquired: () => void,
): Process {
  const { program, roots, histories, pods, locks, ttlMs, patienceMs, pollMs } = setting
  const history = join(histories, `${id}.jsonl`)
  const options: WorkerOptions = {
    id,
    root: roots[mount]!,
    history,
    group,
    pods,
    locks,
    ttlMs,
    patienceMs,
    pollMs,
  }
  const child = fork(program, [JSON.stringify(options)], {
    execArgv: [],
    // Ctrl-C is for the soak, which ends them in order; they end by themselves without it.
    detached: true,
    // A lane that waits for a slow volume is not to hold up the others: Node's own pool has four threads.
    env: { ...env, UV_THREADPOOL_SIZE: '32' },
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
  })
  let said = ''
  child.stderr!.on('data', (chunk: Buffer) => (said = (said + chunk.toString()).slice(-4_000)))
  child.on('message', onAcquired)
  // It may end before it reads what it is told.
  child.on('error', () => undefined)
  const process: Process = {
    id,
    mount,
    killedAt: undefined,
    kill() {
      process.killedAt ??= now()
      child.kill('SIGKILL')
    },
    pause: () => void child.kill('SIGSTOP'),
    resume: () => void child.kill('SIGCONT'),
    stop: () => void (child.connected && child.send('stop', () => undefined)),
    ended: new Promise((resolve) => {
      child.on('close', (code, signal) => {
        const well = code === 0 || process.killedAt !== undefined
        resolve(well ? undefined : `ended with ${code ?? signal}: ${said}`)
      })
    }),
  }
  return process
}
