/** Coordinators as processes of their own, and clients of them. */
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { onTestFinished } from 'vitest'
import type { Event } from '../../src/events.ts'
import { coordinatorArtifacts } from '../../src/stores/coordinator/coordinator-artifacts.ts'
import type { ConnectionOptions } from '../../src/stores/coordinator/connection.ts'
import type { ArtifactStore } from '../../src/stores/store.ts'
import { temporaryFolder } from '../support/folder.ts'

const PROGRAM = join(import.meta.dirname, '../../src/coordinator/main.ts')
export const TOKEN = 'a-token-for-the-tests-0123456789'

export interface Running {
  url: string
  port: number
  pid: number
  /** The disk. */
  folder: string
  /** What it logged. */
  lines: Record<string, unknown>[]
  signal: (name: NodeJS.Signals) => void
  /** The exit code, or the signal that ended it. */
  ended: Promise<number | NodeJS.Signals>
}

export interface Options {
  folder?: string
  port?: number
  tokens?: Record<string, string>
  /** Settings by the names of their variables. */
  env?: Record<string, string>
  /** Another program that serves the same way. */
  program?: string
}

/** Starts a coordinator and waits until it listens; it ends with the test. */
export async function startCoordinatorProcess(options: Options = {}): Promise<Running> {
  const { port = 0, tokens = { token: TOKEN }, env = {}, program = PROGRAM } = options
  const folder = options.folder ?? (await temporaryFolder())
  const secret = await temporaryFolder()
  for (const [name, token] of Object.entries(tokens)) writeFileSync(join(secret, name), token)
  const child = spawn(process.execPath, [program], {
    env: {
      PATH: process.env['PATH'],
      SHARED_WORKSPACE_LOG: 'json',
      COORDINATOR_FOLDER: folder,
      COORDINATOR_TOKENS: secret,
      COORDINATOR_HOST: '127.0.0.1',
      COORDINATOR_PORT: String(port),
      COORDINATOR_RESERVE: '1',
      ...env,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const ended = new Promise<number | NodeJS.Signals>((resolve) =>
    child.once('close', (code, signal) => resolve(code ?? signal!)),
  )
  onTestFinished(async () => {
    child.kill('SIGKILL')
    await ended
  })
  const lines: Running['lines'] = []
  let errors = ''
  child.stderr.on('data', (data: Buffer) => (errors += data.toString()))
  const started = new Promise<number>((resolve) => {
    createInterface({ input: child.stdout }).on('line', (line) => {
      const said = JSON.parse(line) as Record<string, unknown>
      lines.push(said)
      if (said['event'] === 'coordinator-started') resolve(said['port'] as number)
    })
  })
  const listening = await Promise.race([
    started,
    ended.then((code) => {
      throw Object.assign(new Error(`ended with ${code}: ${JSON.stringify(lines)} ${errors}`), {
        lines,
        code,
      })
    }),
  ])
  return {
    url: `http://127.0.0.1:${listening}`,
    port: listening,
    pid: child.pid!,
    folder,
    lines,
    signal: (name) => void child.kill(name),
    ended,
  }
}

/** A client with little patience, unless told otherwise. */
export function clientOf(
  url: string,
  more: Partial<ConnectionOptions> = {},
): ArtifactStore & { events: Event[] } {
  const events: Event[] = []
  const emit = (event: Event): void => void events.push(event)
  return { ...coordinatorArtifacts({ url, token: TOKEN, ca: '', emit, patienceMs: 20_000, ...more }), events }
}

/** Chunks that no two calls share, `size` bytes in all. */
export async function* randomChunks(size: number, chunk = 1024 * 1024): AsyncGenerator<Buffer> {
  for (let left = size; left > 0; left -= chunk) yield randomBytes(Math.min(left, chunk))
}

export function ask(
  { url }: Pick<Running, 'url'>,
  path: string,
  init: RequestInit & { token?: string } = {},
): Promise<Response> {
  const { token = TOKEN, headers, ...rest } = init
  const authorization: Record<string, string> = token ? { authorization: `Bearer ${token}` } : {}
  return fetch(url + path, { ...rest, headers: { ...authorization, ...(headers as Record<string, string>) } })
}

/** Waits until `is` says so. */
export async function until(is: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await is())) await new Promise((done) => setTimeout(done, 20))
}

export const makeFolder = (...parts: string[]): string => {
  const path = join(...parts)
  mkdirSync(path, { recursive: true })
  return path
}
