/** One download for N consumers, against N downloads, and against a script with flock and curl. */
import { createHash, randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, readdir, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { execa } from 'execa'
import { platformName } from '../../src/platform/host.ts'
import { row, time, type Command, type Row } from './pair.ts'
import { startLineServer, type LineServer } from './tools/server.ts'
import { upgrade } from './upgrade.ts'
import { withWorld, type BenchOptions, type World } from './world.ts'

/** A tool as large as many are, of a program that does not compress and some small files. */
const [PROGRAM_BYTES, FILES] = [48 * 1024 * 1024, 200]
/** 1 Gbit/s, for all consumers together. */
const LINE_BYTES_PER_SECOND = 125_000_000

/** What N consumers at once cost, and one that comes later. */
interface Cost {
  seconds: number
  /** From when the tool was there until the last consumer had it. */
  afterMarker: number
  later: number
  downloads: number
  bytes: number
  disk: number
}

interface Way {
  consumer: (n: number) => Command
  /** Where all of it is, and what is there when the tool is. */
  folder: string
  marker: string
}

export async function tools(options: BenchOptions): Promise<Row[]> {
  return withWorld(options, async (world) => {
    const { archive, toolBytes } = await makeTool(world)
    const server = await startLineServer('/tool.tar.gz', archive, LINE_BYTES_PER_SECOND)
    const sha256 = createHash('sha256').update(archive).digest('hex')
    try {
      const rows: Row[] = []
      for (const count of options.full ? [1, 3, 10, 25, 50] : [1, 3, 10, 50])
        rows.push(
          ...(await compare(count, { world, server, sha256, toolBytes, archiveBytes: archive.length })),
        )
      return [...rows, ...(await upgrade(world))]
    } finally {
      await server.stop()
    }
  })
}

async function makeTool({ local }: World): Promise<{ archive: Buffer; toolBytes: number }> {
  const folder = join(local, 'tool')
  await mkdir(join(folder, 'bin'), { recursive: true })
  await mkdir(join(folder, 'lib'))
  await writeFile(join(folder, 'bin/program'), randomBytes(PROGRAM_BYTES), { mode: 0o755 })
  for (let n = 0; n < FILES; n++) await writeFile(join(folder, 'lib', String(n)), randomBytes(10_000))
  const { stdout } = await execa('tar', ['-C', folder, '-cf', '-', '--use-compress-program=gzip -1', '.'], {
    encoding: 'buffer',
  })
  return { archive: Buffer.from(stdout), toolBytes: await diskUsed(folder) }
}

interface Bench {
  world: World
  server: LineServer
  sha256: string
  /** The sizes of the archive and of what is in it. */
  archiveBytes: number
  toolBytes: number
}

async function compare(count: number, bench: Bench): Promise<Row[]> {
  const ours = await measure(count, await ourWay(bench), bench)
  const alone = await measure(count, aloneWay(bench), bench)
  const script = await measure(count, flockWay(bench), bench)
  const work = (what: string): string => `${what}, ${count} consumers`
  const [curl, flock] = ['curl each', 'flock + curl']
  return [
    row(work('time until all have it'), ours.seconds, curl, alone.seconds, null),
    row(work('time until all have it'), ours.seconds, flock, script.seconds, null),
    row(work('last one ready after the tool is there'), ours.afterMarker, 'limit of 2 s', 2, 1),
    row(work('a later consumer'), ours.later, 'limit of 1 s', 1, 1),
    row(work('a later consumer'), ours.later, curl, alone.later, null),
    row(work('a later consumer'), ours.later, flock, script.later, null),
    row(work('downloads (a number)'), ours.downloads, curl, alone.downloads, null),
    row(work('fetched (times the archive)'), ours.bytes, curl, alone.bytes, 1.01 / count),
    row(work('disk (times the tool)'), ours.disk, curl, alone.disk, 1.15 / count),
    row(work('disk (times the tool)'), ours.disk, flock, script.disk, null),
  ]
}

async function ourWay({ world, server, sha256 }: Bench): Promise<Way> {
  const volume = await world.newVolume()
  await time(world.step('workspace-init', volume))
  const params = { name: 'tool', version: '1', sha256 }
  const pod = (n: number) => ({ POD_NAME: `bench-${n}`, POD_UID: `bench-${n}` })
  return {
    consumer(n) {
      const { command, env } = world.step('tool-install', volume, params, [server.url])
      return { command, env: { ...env, ...pod(n) } }
    },
    folder: join(volume, 'tools'),
    marker: join(volume, 'tools/tool/1', platformName()),
  }
}

function aloneWay({ world, server, sha256 }: Bench): Way {
  const folder = world.fresh()
  const script = join(import.meta.dirname, 'tools/alone.sh')
  return {
    consumer: (n) => ({ command: [script, join(folder, String(n)), server.url, sha256] }),
    folder,
    marker: join(folder, '0/bin'),
  }
}

function flockWay({ world, server, sha256 }: Bench): Way {
  const folder = world.fresh()
  const script = join(import.meta.dirname, 'tools/flock.sh')
  return {
    consumer: () => ({ command: [script, folder, server.url, sha256] }),
    folder,
    marker: join(folder, 'done'),
  }
}

async function measure(count: number, way: Way, { server, archiveBytes, toolBytes }: Bench): Promise<Cost> {
  server.reset()
  const started = performance.now()
  const seconds = (): number => (performance.now() - started) / 1000
  const marked = watch(way.marker, seconds)
  await Promise.all(Array.from({ length: count }, (_, n) => time(way.consumer(n))))
  const all = seconds()
  const { downloads, bytes } = server
  const disk = (await diskUsed(way.folder)) / toolBytes
  const later = await time(way.consumer(count))
  return {
    seconds: all,
    afterMarker: all - (await marked),
    later,
    downloads,
    bytes: bytes / archiveBytes,
    disk,
  }
}

/** When `path` shows up. */
async function watch(path: string, seconds: () => number): Promise<number> {
  while (!existsSync(path)) await new Promise((resolve) => setTimeout(resolve, 2))
  return seconds()
}

/** The sizes of all files below a folder; the names of one file count once. */
async function diskUsed(folder: string): Promise<number> {
  const sizes = new Map<number, number>()
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue
    const { ino, size } = await stat(join(entry.parentPath, entry.name))
    sizes.set(ino, size)
  }
  return [...sizes.values()].reduce((sum, size) => sum + size, 0)
}
