/** Locks, against what people use today on the same file system. */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { build } from 'esbuild'
import { execa } from 'execa'
import { BUNDLING } from '../../images/bundle.ts'
import type { Contender, Turn } from './locks/contender.ts'
import { median, pair, row, time, type Command, type Row } from './pair.ts'
import { inTurn, throughSecond } from './rivals.ts'
import { withWorld, type BenchOptions, type World } from './world.ts'

type Way = Contender['way'] | 'flock(1)' | 'mkdir in bash'

/** Turns in one process, for what one costs. */
const TURNS = 300
/** How long a holder has the lock while others wait for it. */
const HOLD_MS = 20

export async function locks(options: BenchOptions): Promise<Row[]> {
  return withWorld(options, async (world) => {
    await bundleContender(world)
    const places = await placesOf(world)
    const rows = [
      ...(await inProcess(places, world)),
      ...(await wholeProcesses(places, world, options.rounds)),
    ]
    for (const waiters of options.full ? [2, 10, 50] : [2, 10])
      rows.push(...(await handOff(waiters, places, world)))
    return [...rows, await operations(places, world)]
  })
}

/** The same volume as each client has it. */
async function placesOf(world: World): Promise<string[]> {
  const volume = await world.newVolume()
  await time(world.step('workspace-init', volume))
  await writeFile(join(volume, 'file'), '')
  return world.second === undefined ? [volume] : [volume, throughSecond(volume, world)]
}

/** In one file, so that it starts as fast as a step does. */
async function bundleContender(world: World): Promise<void> {
  await build({
    ...BUNDLING,
    entryPoints: [join(import.meta.dirname, 'locks/contender.ts')],
    outfile: join(world.local, 'contender', 'contender.mjs'),
    external: [...BUNDLING.external, '@kubernetes/client-node'],
  })
}

interface Load {
  turns: number
  holdMs: number
  countUntilMs?: number
}

function contender(way: Way, folder: string, load: Load, world: World): Command {
  const script = { 'flock(1)': 'flock', 'mkdir in bash': 'mkdir' }[way as string]
  if (script !== undefined) {
    const program = join(import.meta.dirname, 'locks/contender.sh')
    return { command: [program, script, folder, String(load.turns), String(load.holdMs / 1000)] }
  }
  const program = join(world.local, 'contender', 'contender.mjs')
  return { command: [process.execPath, program, JSON.stringify({ way, folder, ...load })] }
}

async function turnsOf({ command: [file = '', ...args] }: Command): Promise<Turn[]> {
  const { stdout } = await execa(file, args)
  return stdout.split('\n').map((line) => JSON.parse(line) as Turn)
}

/** One process, nobody else: the median of its turns. */
async function inProcess([folder = '']: string[], world: World): Promise<Row[]> {
  const cost = async (way: Way): Promise<number> => {
    const turns = await turnsOf(contender(way, folder, { turns: TURNS, holdMs: 0 }, world))
    const starts = turns.map(({ asked }) => asked)
    return median(starts.slice(1).map((asked, n) => asked - starts[n]!)) / 1000
  }
  const ours = await cost('ours')
  const rows: Row[] = []
  for (const way of ['flock in Node', 'proper-lockfile'] as const)
    rows.push(row('acquire and release, in a process', ours, way, await cost(way), null))
  return rows
}

async function wholeProcesses([folder = '']: string[], world: World, rounds: number): Promise<Row[]> {
  const once = { turns: 1, holdMs: 0 }
  const of = (way: Way) => ({ name: way, run: contender(way, folder, once, world) })
  const ours = of('ours').run
  const work = 'acquire and release, a whole process'
  const rows = [
    await pair(work, ours, of('flock in Node'), 3, 3 * rounds),
    await pair(work, ours, of('proper-lockfile'), null, 3 * rounds),
    await pair(work, ours, of('flock(1)'), null, 3 * rounds),
  ]
  const acquiring = world.step('lock-acquire', folder, { name: 'step', maxHold: '1h' })
  const releasing = world.step('lock-release', folder, { name: 'step' })
  const acquired = { name: 'flock in Node', run: contender('flock in Node', folder, once, world) }
  rows.push(
    await pair('lock-acquire, then lock-release', inTurn(acquiring, releasing), acquired, null, rounds),
  )
  return rows
}

/** How long the lock is nobody's while there are waiters, by turns on each client; and how fair that is. */
async function handOff(waiters: number, folders: string[], world: World): Promise<Row[]> {
  // With many, each gets it a few times: what they are at when the others are done would say nothing.
  const load = { turns: Math.max(4, Math.ceil(60 / waiters)), holdMs: HOLD_MS }
  const seen = new Map<Way, Handed>()
  for (const way of ['ours', 'flock(1)', 'proper-lockfile', 'mkdir in bash'] as const) {
    const running = Array.from({ length: waiters + 1 }, (_, n) =>
      turnsOf(contender(way, folders[n % folders.length]!, load, world)),
    )
    seen.set(way, handed((await Promise.all(running)).flat(), waiters))
  }
  const ours = seen.get('ours')!
  const work = `hand-off with ${waiters} waiters`
  const within = waiters <= 10 ? 1 : null
  const rows = [
    row(`${work}, median`, ours.median, 'limit of 50 ms', 0.05, within),
    row(`${work}, 99th percentile`, ours.slow, 'limit of 300 ms', 0.3, within),
  ]
  for (const [way, other] of seen) {
    if (way === 'ours') continue
    rows.push(row(`${work}, median`, ours.median, way, other.median, null))
    rows.push(row(`${work}, 99th percentile`, ours.slow, way, other.slow, null))
    rows.push(row(`${work}: longest wait against the mean`, ours.unfair, way, other.unfair, null))
  }
  return rows
}

/** Seconds, and a ratio. */
interface Handed {
  median: number
  slow: number
  unfair: number
}

/** `turns` of all processes; those at the beginning and the end, when not all wait, do not count. */
function handed(turns: Turn[], waiters: number): Handed {
  const inOrder = turns.toSorted((a, b) => a.acquired - b.acquired).slice(waiters, -waiters)
  const gaps = inOrder.slice(1).map(({ acquired }, n) => Math.max(0, acquired - inOrder[n]!.released) / 1000)
  const waits = inOrder.map(({ asked, acquired }) => acquired - asked)
  const mean = waits.reduce((sum, wait) => sum + wait, 0) / waits.length
  const sorted = gaps.toSorted((a, b) => a - b)
  const slow = sorted[Math.ceil(sorted.length * 0.99) - 1] ?? Number.NaN
  return { median: median(gaps), slow, unfair: Math.max(...waits) / mean }
}

/** What the second in the queue asks of the file system while it waits, and nothing happens. */
async function operations(folders: string[], world: World): Promise<Row> {
  const start = (load: Load) => turnsOf(contender('ours', folders[0]!, load, world))
  const countUntilMs = 33_000
  const holding = start({ turns: 1, holdMs: countUntilMs + 5000 })
  await new Promise((resolve) => setTimeout(resolve, 1000))
  const first = start({ turns: 1, holdMs: 0 })
  await new Promise((resolve) => setTimeout(resolve, 1000))
  const [turn] = await start({ turns: 1, holdMs: 0, countUntilMs })
  await Promise.all([holding, first])
  const perMinute = turn!.operations * 2
  const work = 'operations a minute of a waiter behind the head (a number, not seconds)'
  return row(work, perMinute, 'limit of 30', 30, 1)
}
