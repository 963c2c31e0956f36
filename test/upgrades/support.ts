/** Fleets of processes: tools that are small servers, agents that run them, leaders, and clients. */
import { chmod, mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { dirname, join } from 'node:path'
import { execa } from 'execa'
import { onTestFinished } from 'vitest'
import type { Event } from '../../src/events.ts'
import { volumeLocks } from '../../src/locks/index.ts'
import { platformName } from '../../src/platform/host.ts'
import { settingEnv, type SettingName } from '../../src/tool-agent/contract.ts'
import { listTree } from '../../src/tools/list-tree.ts'
import { toolPaths } from '../../src/tools/index.ts'
import { lead, placeOf, readTarget, type Led, type LeadOptions } from '../../src/upgrades/index.ts'
import { State } from '../../src/upgrades/format.ts'
import { ensureVolume, type Volume } from '../../src/volume/volume.ts'
import { FAST, identityOf } from '../locks/support.ts'
import { temporaryFolder } from '../support/folder.ts'
import { HASTE } from './haste.ts'

export const TOOL = 'echo'
export const FLEET = 'echoes'
const BINARY = 'echo-server'

export const newVolume = async (): Promise<Volume> => ensureVolume(await temporaryFolder(), () => {})

/** How a version of the tool is broken, and for which consumers. */
export interface Fault {
  /** `exits` at once, is `sick` by its health check, or `stays` when it is told to stop. */
  how: 'exits' | 'sick' | 'stays'
  consumers: string[] | 'all'
}

/** A server that answers with its version, ends gracefully, and dies with its agent. */
const program = (version: string, fault?: Fault): string => `#!/usr/bin/env node
const { createServer } = require('node:http')
const fault = ${JSON.stringify(fault ?? null)}
const isIll = fault && (fault.consumers === 'all' || fault.consumers.includes(process.env.CONSUMER)) ? fault.how : ''
if (isIll === 'exits') process.exit(3)
const server = createServer((request, response) => {
  if (request.url === '/crash') process.exit(7)
  if (request.url !== '/healthz') return void setTimeout(() => response.end(${JSON.stringify(version)}), 5)
  response.statusCode = isIll === 'sick' ? 500 : 200
  response.end()
}).listen(Number(process.env.PORT), '127.0.0.1')
process.on('SIGTERM', () => isIll === 'stays' || server.close(() => process.exit(0)))
const parent = process.ppid
setInterval(() => process.ppid === parent || process.exit(1), 100)
`

/** Installs a version of the tool as tool-install leaves it. @returns the file of its binary */
export async function installVersion(volume: Volume, version: string, fault?: Fault): Promise<string> {
  const platform = platformName()
  const paths = toolPaths(volume.layout, { name: TOOL, version, platform })
  const file = join(paths.content, BINARY)
  await mkdir(paths.content, { recursive: true })
  await mkdir(paths.bin)
  await writeFile(file, program(version, fault))
  await chmod(file, 0o755)
  await symlink(join('../content', BINARY), join(paths.bin, BINARY))
  const marker = {
    v: 1,
    name: TOOL,
    version,
    platform,
    volume: volume.id,
    source: 'a test',
    digest: `sha256:${'0'.repeat(64)}`,
    checksum: 'waived',
    downloadBytes: 0,
    files: await listTree(paths.folder),
    binaries: [BINARY],
    installedAt: new Date().toISOString(),
    by: 'a test',
  }
  await writeFile(paths.marker, JSON.stringify(marker))
  return file
}

export interface Agent {
  name: string
  port: number
  pid: number
  log: () => Record<string, unknown>[]
  kill(signal: NodeJS.Signals): void
  /** The exit code; undefined after a signal. */
  ended: Promise<number | undefined>
}

/** The environment of an agent whose worker serves at a port. */
export function settingsFor(
  { layout: { root } }: Volume,
  port: number,
  settings: Partial<Record<SettingName, string>>,
): Record<string, string> {
  const all: Partial<Record<SettingName, string>> = {
    FOLDER: root,
    FLEET,
    TOOL,
    VERSION: '1',
    HEALTH: `http://127.0.0.1:${port}/healthz`,
    HEALTH_TIMEOUT: '10s',
    STOP_TIMEOUT: '5s',
    ...settings,
  }
  return Object.fromEntries(
    Object.entries(all).map(([name, value]) => [settingEnv(name as SettingName), value]),
  )
}

/** Starts an agent; it is killed at the end of the test, and its worker ends with it. */
export async function startAgent(
  volume: Volume,
  name: string,
  settings: Partial<Record<SettingName, string>> = {},
  /** Where its worker serves, what it is started by, and whether its name can soon be taken over. */
  { port, under = [], shortName }: { port?: number; under?: string[]; shortName?: boolean } = {},
): Promise<Agent> {
  const at = port ?? (await freePort())
  const env: Record<string, string> = {
    PATH: process.env['PATH'] ?? '',
    POD_NAMESPACE: 'ci',
    POD_NAME: name,
    POD_UID: `uid-of-${name}-${Math.random()}`,
    NODE_NAME: 'node-a',
    PORT: String(at),
    CONSUMER: name,
    ...(shortName ? { SHORT_NAME: 'yes' } : {}),
    ...settingsFor(volume, at, settings),
  }
  const program = join(import.meta.dirname, 'agent.ts')
  const [file, ...args] = [...under, process.execPath, program, BINARY]
  const child = execa(file, args, { env, extendEnv: false, reject: false, all: true })
  let output = ''
  child.all.on('data', (chunk: Buffer) => (output += chunk.toString()))
  onTestFinished(async () => {
    child.kill('SIGKILL')
    await child
  })
  return {
    name,
    port: at,
    pid: child.pid!,
    log: () => output.split('\n').flatMap(parseLine),
    kill: (signal) => void child.kill(signal),
    ended: child.then(({ exitCode }) => exitCode),
  }
}

function parseLine(line: string): Record<string, unknown>[] {
  try {
    return [JSON.parse(line) as Record<string, unknown>]
  } catch {
    return line ? [{ line }] : []
  }
}

/** So many agents, all healthy on version 1. */
export async function startFleet(volume: Volume, count: number): Promise<Agent[]> {
  const agents = await Promise.all(Array.from({ length: count }, (_, i) => startAgent(volume, `w${i}`)))
  await until(`${count} healthy agents`, async () => {
    const states = await Promise.all(agents.map(({ name }) => stateOf(volume, name)))
    return states.every((state) => state?.phase === 'healthy')
  })
  return agents
}

export const freePort = (): Promise<number> =>
  new Promise((resolve, reject) => {
    const server = createServer()
      .once('error', reject)
      .listen(0, '127.0.0.1', () => {
        const address = server.address()
        server.close(() => resolve(typeof address === 'object' && address ? address.port : 0))
      })
  })

export interface LeaderOptions {
  root: string
  to: LeadOptions['to']
  /** The name of the leading TaskRun. */
  by?: string
  max?: number
  rollBack?: boolean
  timeoutMs?: number
}

/** Leads the fleet in this process. */
export async function leadFleet(
  { root, to, by = 'upgrade', max = 1, rollBack = true, timeoutMs = 60_000 }: LeaderOptions,
  events: Event[] = [],
): Promise<Led> {
  const volume = await ensureVolume(root, () => {})
  return lead({
    volume,
    locks: volumeLocks(volume, FAST),
    fleet: FLEET,
    tool: TOOL,
    to,
    maxUnavailable: { count: max },
    rollBack,
    timeoutMs,
    identity: identityOf(by, 'lead'),
    liveness: async () => ({ state: 'unknown', why: 'there is nobody to ask' }),
    emit: (event) => void events.push(event),
    signal: new AbortController().signal,
    leading: HASTE.leading,
    holding: HASTE.leader,
    tuning: FAST,
  })
}

/** Leads the fleet in a process of its own. */
export function startLeader(options: LeaderOptions) {
  const program = join(import.meta.dirname, 'leader.ts')
  const child = execa(process.execPath, [program, JSON.stringify(options)], { reject: false })
  onTestFinished(async () => {
    child.kill('SIGKILL')
    await child
  })
  return child
}

/** All that a consumer has said, in order. */
export async function statesOf({ layout }: Volume, name: string): Promise<State[]> {
  const { states } = placeOf(layout, FLEET, name)
  const names = (await readdir(states).catch(() => [])).filter((entry) => /^\d+\.\d+$/.test(entry))
  const texts = await Promise.all(names.map((entry) => readFile(join(states, entry), 'utf8').catch(() => '')))
  return texts
    .filter(Boolean)
    .map((text) => State.parse(JSON.parse(text)))
    .sort((a, b) => (a.at < b.at ? -1 : 1))
}

export const stateOf = async (volume: Volume, name: string): Promise<State | undefined> =>
  (await statesOf(volume, name)).at(-1)

/** Which versions a consumer has started, in order. */
export async function startsOf(volume: Volume, name: string): Promise<string[]> {
  const states = (await statesOf(volume, name)).filter(({ phase }) => phase === 'starting')
  return states.map(({ version }) => version).filter((version, i, all) => version !== all[i - 1])
}

/** How many consumers were not healthy at a time, at most, from when all were. */
export async function mostAway(volume: Volume, agents: readonly Agent[]): Promise<number> {
  const changes: { at: string; by: number }[] = []
  for (const { name } of agents) {
    let isAway = false
    const states = await statesOf(volume, name)
    const first = states.findIndex(({ phase }) => phase === 'healthy')
    for (const { phase, at } of states.slice(first)) {
      if ((phase !== 'healthy') === isAway) continue
      isAway = !isAway
      changes.push({ at, by: isAway ? 1 : -1 })
    }
  }
  // One that comes back at the same moment as another leaves was back first.
  changes.sort((a, b) => (a.at === b.at ? a.by - b.by : a.at < b.at ? -1 : 1))
  let away = 0
  return Math.max(0, ...changes.map(({ by }) => (away += by)))
}

/** What the fleet is to be, for whoever looks. */
export const targetOf = (volume: Volume) => readTarget(volume.layout, FLEET)

export interface Load {
  /** Ends it. @returns what became of the requests */
  stop(): Promise<{ requests: number; failed: number; retried: number; versions: Set<string> }>
}

/** Clients that ask the workers in turn all the while, and another worker where one does not answer. */
export function startLoad(agents: readonly Agent[], clients = 3): Load {
  const over = new AbortController()
  const done = { requests: 0, failed: 0, retried: 0, versions: new Set<string>() }
  const ask = async (first: number): Promise<void> => {
    done.requests++
    for (let attempt = 0; attempt < 3; attempt++) {
      const { port } = agents[(first + attempt) % agents.length]!
      const answer = await fetch(`http://127.0.0.1:${port}/`, { headers: { connection: 'close' } })
        .then((response) => (response.ok ? response.text() : undefined))
        .catch(() => undefined)
      if (answer !== undefined) return void done.versions.add(answer)
      done.retried++
    }
    done.failed++
  }
  const client = async (n: number): Promise<void> => {
    for (let turn = n; !over.signal.aborted; turn += 1) {
      await ask(turn)
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }
  const running = Promise.all(Array.from({ length: clients }, (_, n) => client(n)))
  return {
    async stop() {
      over.abort()
      await running
      return done
    },
  }
}

/** Resolves once `condition` holds. */
export async function until(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 90_000
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`waited in vain for ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}

/** Replaces what a file of a tool says, whoever may. */
export async function tamper(file: string): Promise<void> {
  await chmod(dirname(file), 0o777)
  await writeFile(file, `${await readFile(file, 'utf8')}\n// changed\n`)
}
