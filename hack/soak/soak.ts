/**
 * Runs processes that lock, count and release while they are killed, stopped, cancelled and cut off, and has what
 * they did checked. Everything on the volume lies in one new folder, which is removed in the end.
 */
import { chmod, mkdir, mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { ensureVolume } from '../../src/volume/volume.ts'
import { check, type Findings } from './check/check.ts'
import type { Left } from './check/types.ts'
import { createFaults, type Faults } from './faults.ts'
import { readHistories } from './history.ts'
import { startProcess, type Process, type Setting } from './process.ts'
import { seeded } from './random.ts'

export interface SoakOptions {
  /** The bundled program of a process. */
  program: string
  /** One folder, or the same one by two mounts. */
  folders: readonly string[]
  /** It is over after so many acquisitions, or so long. */
  acquisitions: number
  seconds: number
  /** Processes; three at a time share so many locks. */
  workers: number
  locks: number
  seed: number
  ttlMs: number
  pollMs: number
  patienceMs: number
  cut?: { cut: string; heal: string } | undefined
  say: (line: string) => void
  signal: AbortSignal
}

export interface Soaked extends Findings {
  seconds: number
}

/** Processes that share locks: what is done to one holds up no others. */
const GROUP = 3

/** One fault for so many acquisitions. */
const FAULT_EVERY = 25

export async function soak(options: SoakOptions): Promise<Soaked> {
  const local = await mkdtemp(join(tmpdir(), 'shared-workspace-soak-'))
  const folder = await mkdtemp(join(options.folders[0]!, 'shared-workspace-soak-'))
  try {
    const roots = options.folders.map((mount) => join(mount, basename(folder)))
    const setting: Setting = { ...options, roots, ...(await prepare(local, folder)) }
    await requireSame(roots)
    const startedAt = performance.now()
    const { faults, crashes } = await run(options, setting)
    const seconds = (performance.now() - startedAt) / 1000
    options.say('checking')
    const workers = await readHistories(setting.histories)
    const left = await readPointers(join(folder, 'pointers'))
    return { seconds, ...check({ workers, faults: faults.done, left, crashes, ttlMs: options.ttlMs }) }
  } finally {
    options.say('removing what it wrote')
    await rm(folder, { recursive: true, force: true })
    await rm(local, { recursive: true, force: true })
  }
}

async function prepare(local: string, folder: string): Promise<Pick<Setting, 'histories' | 'pods'>> {
  await chmod(folder, 0o2777)
  await ensureVolume(folder, () => {})
  for (const name of ['pointers', 'files', 'locks']) await mkdir(join(folder, name))
  const [histories, pods] = [join(local, 'histories'), join(local, 'pods')]
  for (const name of [histories, pods]) await mkdir(name)
  return { histories, pods }
}

async function requireSame(roots: readonly string[]): Promise<void> {
  for (const root of roots) {
    if (!(await readdir(root).catch((): string[] => [])).includes('pointers'))
      throw new Error(`${root} is not there: expected two mounts of the same folder`)
  }
}

interface Run {
  faults: Faults
  crashes: { worker: string; why: string }[]
}

async function run(options: SoakOptions, setting: Setting): Promise<Run> {
  const { acquisitions, seconds, workers, seed, say, signal } = options
  const crashes: Run['crashes'] = []
  const running = new Map<Process, Promise<void>>()
  let acquired = 0
  let started = 0
  let draining = false
  const faults = createFaults({
    ttlMs: options.ttlMs,
    cut: options.cut,
    pods: setting.pods,
    processes: () => [...running.keys()],
    random: seeded(seed),
  })

  function start(slot: number): void {
    const place = { mount: slot % setting.roots.length, group: Math.floor(slot / GROUP) }
    const process = startProcess(setting, `w${started++}`, place, () => {
      acquired++
      if (acquired % FAULT_EVERY === 0 && !draining) faults.another()
    })
    const over = process.ended.then((why) => {
      if (why) crashes.push({ worker: process.id, why })
      running.delete(process)
      // One that crashes would only crash again.
      if (!draining && !why) start(slot)
    })
    running.set(process, over)
  }

  try {
    for (let slot = 0; slot < workers; slot++) start(slot)
    const startedAt = performance.now()
    const elapsed = (): number => (performance.now() - startedAt) / 1000
    const isOver = (): boolean =>
      signal.aborted || acquired >= acquisitions || elapsed() >= seconds || running.size === 0
    for (let told = 0; !isOver(); await sleep(100)) {
      if (elapsed() < told + 10) continue
      told = elapsed()
      say(`${acquired} acquisitions, ${faults.done.length} faults in ${told.toFixed(0)} s`)
    }
    draining = true
    await faults.settled()
    for (const process of running.keys()) process.stop()
    await Promise.race([
      Promise.all(running.values()),
      sleep(2 * options.patienceMs, undefined, { ref: false }),
    ])
  } finally {
    draining = true
    for (const process of running.keys()) process.kill()
    await Promise.all(running.values())
    await faults.settled()
  }
  return { faults, crashes }
}

async function readPointers(folder: string): Promise<Left[]> {
  const left: Left[] = []
  for (const lock of await readdir(folder)) {
    const names = (await readdir(join(folder, lock))).filter((name) => /^\d+\.\d+$/.test(name))
    const texts = await Promise.all(names.map((name) => readFile(join(folder, lock, name), 'utf8')))
    left.push(...names.map((name, at) => ({ lock, name, text: texts[at]! })))
  }
  return left
}
