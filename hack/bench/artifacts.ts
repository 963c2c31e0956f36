/** Storing and retrieving artifacts, against what people use today on the same trees and file system. */
import { readdir, stat, writeFile } from 'node:fs/promises'
import { cp } from 'node:fs/promises'
import { join } from 'node:path'
import {
  median,
  pair,
  row,
  rounded,
  time,
  type Command,
  type Contender,
  type Other,
  type Row,
} from './pair.ts'
import * as rivals from './rivals.ts'
import { BARE_NODE, start } from './start.ts'
import { atRest, binary, changeOnePercent, MODULES, smallFiles, sourceCode } from './trees.ts'
import { withWorld, type BenchOptions, type World } from './world.ts'

interface Bench extends BenchOptions {
  world: World
  zstd: boolean
}

export async function artifacts(options: BenchOptions): Promise<Row[]> {
  const rows = await withWorld(options, async (world) => {
    const bench = { ...options, world, zstd: rivals.hasZstd() }
    const source = await sourceCode(world.fresh(options.second ? world.local : undefined))
    if (options.second) return across(source, bench)
    const rows = await tree('source code', source, bench, 1.5)
    if (!options.full) return rows
    rows.push(...(await tree('20,000 files of 4 KB', await smallFiles(world.fresh(), 20_000, 4096), bench)))
    const modules = world.fresh()
    await cp(MODULES, modules, { recursive: true, verbatimSymlinks: true })
    rows.push(...(await tree('node_modules', modules, bench)))
    const big = await binary(world.fresh(), 1024)
    rows.push(...(await oneBinary(big, bench)), ...(await growth(bench)))
    rows.push(await oneFile(source, big, bench), ...(await memory(big, bench)))
    return rows
  })
  return options.second ? rows : [...rows, ...(await start(options))]
}

const storing = (world: World, tree: string, volume: string, output = 'tree'): Command =>
  world.step('artifact-store', volume, { path: tree, output })

/** Into a volume of its own each time. */
const storingNew =
  (world: World, tree: string): Contender =>
  async () =>
    storing(world, tree, await world.newVolume())

/** A volume that has the tree already. */
async function volumeWith(tree: string, world: World): Promise<string> {
  const volume = await world.newVolume()
  await time(storing(world, tree, volume))
  return volume
}

async function tree(title: string, path: string, bench: Bench, target: number | null = null): Promise<Row[]> {
  const { world, rounds, full, zstd } = bench
  const rows: Row[] = []
  const first = (rival: Other, ratio: number | null): Promise<Row> =>
    storingFirst(`store ${title}`, path, rival, ratio, bench)
  if (zstd) rows.push(await first(rivals.packing(path, world), target))
  for (const rival of full ? [rivals.copying, rivals.plainTar, rivals.gzipTar] : [rivals.copying])
    rows.push(await first(rival(path, world), null))
  await atRest(path)
  const volume = await volumeWith(path, world)
  const retrieving: Contender = async () =>
    world.step('artifact-retrieve', volume, { path: world.fresh() }, ['bench/tree'])
  if (zstd) {
    const unpacking = await rivals.unpacking(path, world)
    rows.push(await pair(`retrieve ${title}, verified`, retrieving, unpacking, target, rounds))
  }
  rows.push(await again(`store ${title} again, unchanged`, path, volume, 0.5, bench))
  if (full) {
    const changed = world.fresh()
    await cp(path, changed, { recursive: true, verbatimSymlinks: true })
    await changeOnePercent(changed)
    rows.push(await again(`store ${title} again, 1 % changed`, changed, volume, null, bench, path))
  }
  return rows
}

/** A first store against a rival, with our memory, and what each leaves on the disk. */
async function storingFirst(
  work: string,
  path: string,
  rival: Other,
  target: number | null,
  { world, rounds }: Bench,
): Promise<Row> {
  const timed = await pair(work, storingNew(world, path), rival, target, rounds)
  const volume = await world.newVolume()
  const memory_mib = await world.memoryOf(storing(world, path, volume))
  const theirs = typeof rival.run === 'function' ? await rival.run(0) : rival.run
  await time(theirs)
  return { ...timed, memory_mib, bytes: await bytesIn(volume), other_bytes: await bytesIn(theirs.makes!) }
}

/** A tree whose content the volume has, all or most of it, against storing it for the first time. */
async function again(
  work: string,
  path: string,
  volume: string,
  target: number | null,
  { world, rounds }: Bench,
  base = path,
): Promise<Row> {
  const before = await bytesIn(join(volume, 'store'))
  await time(storing(world, path, volume, path === base ? 'unchanged' : 'changed'))
  const bytes = (await bytesIn(join(volume, 'store'))) - before
  const contender: Contender = async (round) => {
    const known = path === base ? volume : await volumeWith(base, world)
    return storing(world, path, known, `again-${round + 1}`)
  }
  const first = { name: 'its first store', run: storingNew(world, path) }
  const result = { ...(await pair(work, contender, first, target, rounds)), bytes }
  return target === null ? result : { ...result, ok: result.ok && bytes === 0 }
}

async function oneBinary(tree: string, bench: Bench): Promise<Row[]> {
  const { world } = bench
  const rival = rivals.copyAndHash(join(tree, 'binary'), world)
  // At least 0.8 times as fast.
  const row = await storingFirst('store 1 GiB binary', tree, rival, 1 / 0.8, bench)
  await atRest(tree)
  const volume = await volumeWith(tree, world)
  return [row, await again('store 1 GiB binary again, unchanged', tree, volume, 0.5, bench)]
}

/** One file of 10 KB beside source code and a large binary. */
async function oneFile(source: string, big: string, { world, rounds }: Bench): Promise<Row> {
  const path = world.fresh()
  await cp(source, path, { recursive: true })
  await cp(big, join(path, 'big'), { recursive: true })
  await writeFile(join(path, 'wanted'), Buffer.alloc(10_000, 'wanted '))
  const volume = await volumeWith(path, world)
  const ours: Contender = async () =>
    world.step('artifact-retrieve', volume, { path: '-', files: 'wanted' }, ['bench/tree'])
  const target = (bare: number): number => 1.2 + 0.03 / bare
  return pair('print 10 KB of a 1 GiB artifact', ours, BARE_NODE, target, 3 * rounds)
}

/** Four and sixteen times as much takes at most that much longer, and a tenth. */
async function growth({ world, rounds }: Bench): Promise<Row[]> {
  const rows: Row[] = []
  let once = 0
  for (const times of [1, 4, 16]) {
    const path = await sourceCode(world.fresh(), times)
    const seconds: number[] = []
    for (let round = 0; round < rounds; round++) seconds.push(await time(storingNew(world, path)))
    if (times === 1) once = median(seconds)
    else rows.push(row(`store ${times} × source code`, median(seconds), 'once', once, times * 1.1))
  }
  return rows
}

/** The most memory at a time; `ratio` is against the limit. */
async function memory(big: string, { world }: Bench): Promise<Row[]> {
  const many = await smallFiles(world.fresh(), 100_000, 256)
  const rows: Row[] = []
  for (const [title, path, limit] of [
    ['1 GiB binary', big, 200],
    ['100,000 files', many, 300],
  ] as const) {
    const volume = await world.newVolume()
    const retrieving = world.step('artifact-retrieve', volume, { path: world.fresh() }, ['bench/tree'])
    for (const [verb, step] of [
      ['store', storing(world, path, volume)],
      ['retrieve', retrieving],
    ] as const) {
      const started = performance.now()
      const memory_mib = await world.memoryOf(step)
      const ours_s = rounded((performance.now() - started) / 1000)
      const ratio = rounded(memory_mib / limit)
      const other = `limit of ${limit} MiB`
      rows.push({
        work: `memory: ${verb} ${title}`,
        ours_s,
        other,
        other_s: 0,
        ratio,
        target: 1,
        ok: ratio <= 1,
        memory_mib,
      })
    }
  }
  return rows
}

/** From this machine's disk through one client of the file system to another, and back to the disk, verified. */
async function across(source: string, { world, rounds, zstd }: Bench): Promise<Row[]> {
  const ours: Contender = async () => {
    const volume = await world.newVolume()
    const target = { path: world.fresh(world.local) }
    const reading = rivals.throughSecond(volume, world)
    return rivals.inTurn(
      storing(world, source, volume),
      world.step('artifact-retrieve', reading, target, ['bench/tree']),
    )
  }
  const work = 'source code from one client to the other'
  const rows: Row[] = []
  if (zstd) rows.push(await pair(work, ours, rivals.packedAcross(source, world), 1.3, rounds))
  return [...rows, await pair(work, ours, rivals.copiedAcross(source, world), 0.1, Math.min(rounds, 3))]
}

/** The bytes of all files in a folder, or of one file. */
async function bytesIn(folder: string): Promise<number> {
  const stats = await stat(folder)
  if (stats.isFile()) return stats.size
  let bytes = 0
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true }))
    if (entry.isFile()) bytes += (await stat(join(entry.parentPath, entry.name))).size
  return bytes
}
