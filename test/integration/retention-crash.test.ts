/** Maintenance that fails or is killed at any point: what is visible stays whole, and the next call completes. */
import { fork } from 'node:child_process'
import { cp, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { injectFault } from '../../src/platform/fs.ts'
import { mark } from '../../src/retention/mark.ts'
import { openVolume, type Volume } from '../../src/volume/volume.ts'
import {
  makeTree,
  newFolder,
  newVolume,
  outputFolder,
  readTree,
  retrieve,
  store,
} from '../artifacts/support.ts'
import { blobsOf, clean, damage, sweptOf, trashOf } from '../retention/support.ts'
import type { Order } from '../retention/worker.ts'

afterEach(() => injectFault(undefined))

const TREE = { a: 'kept a', 'dir/b': 'kept b' }
const ALL = 2 ** 40

/** A volume with one artifact and as many blobs that nothing refers to, cleaned so many times. */
async function prepared(cleans: number): Promise<Volume> {
  const volume = await newVolume()
  await store(volume, await makeTree(TREE))
  await store(volume, await makeTree({ c: 'garbage' }), { output: 'garbage' })
  await rm(join(outputFolder(volume), '../garbage'), { recursive: true })
  for (let n = 0; n < cleans; n++) await clean(volume)
  return volume
}

async function copyOf(volume: Volume): Promise<Volume> {
  const root = await newFolder()
  await cp(volume.layout.root, root, { recursive: true, verbatimSymlinks: true, preserveTimestamps: true })
  return openVolume(root)
}

/** The phases of maintenance, each from the state that it begins in, and how many of its operations fail in a test. */
const PHASES = [
  { phase: 'the first mark', cleans: 0, points: 10 },
  { phase: 'the sweep', cleans: 1, points: Infinity },
  { phase: 'the purge', cleans: 2, points: 30 },
]

async function expectWholeAndCompleted(volume: Volume, kept: string[]): Promise<void> {
  expect((await mark(volume)).missing).toEqual(new Set())
  const target = join(await newFolder(), 'target')
  await retrieve(volume, target)
  expect(await readTree(target)).toEqual(await readTree(await makeTree(TREE)))
  for (let n = 0; n < 4; n++) await clean(volume)
  expect(await blobsOf(volume)).toEqual(kept)
  expect(await sweptOf(volume)).toEqual([])
  // Temporary names that a killed one left wait for a day.
  expect((await trashOf(volume)).filter((place) => !place.includes('.tmp-'))).toEqual([])
  expect((await readdir(volume.layout.marks)).filter((name) => !name.startsWith('.'))).toHaveLength(1)
}

async function keptBlobs(): Promise<string[]> {
  const volume = await newVolume()
  await store(volume, await makeTree(TREE))
  return blobsOf(volume)
}

/** Numbers from 1 to `last`, the first and the last among them. */
function spread(points: number, last: number): number[] {
  const count = Math.min(points, last)
  return Array.from({ length: count }, (_, n) => 1 + Math.round((n * (last - 1)) / (count - 1)))
}

describe.each(PHASES)('$phase', ({ cleans, points }) => {
  it('failing at any operation loses nothing and is completed later', async () => {
    const kept = await keptBlobs()
    const start = await prepared(cleans)
    let operations = 0
    injectFault(() => void operations++)
    await clean(await copyOf(start))
    injectFault(undefined)
    expect(operations).toBeGreaterThan(40)
    for (const failAt of spread(points, operations)) {
      const code = failAt % 2 === 0 ? 'EIO' : 'ENOSPC'
      const volume = await copyOf(start)
      let n = 0
      injectFault((operation, path) => {
        if (++n === failAt) throw Object.assign(new Error(`${code} at ${operation} ${path}`), { code })
      })
      await clean(volume).catch(() => undefined)
      injectFault(undefined)
      await expectWholeAndCompleted(volume, kept)
    }
  }, 240_000)

  it('killed at any point loses nothing and is completed later', async () => {
    const kept = await keptBlobs()
    const start = await prepared(cleans)
    const operations = Number(await run((await copyOf(start)).layout.root, 0, Infinity))
    for (const dieAt of spread(8, operations)) {
      const volume = await copyOf(start)
      expect(await run(volume.layout.root, 0, dieAt)).toBe('killed')
      await expectWholeAndCompleted(volume, kept)
    }
  }, 120_000)
})

it('a scrub failing or killed at any point loses no good blob, and the next ones complete it', async () => {
  const start = await prepared(0)
  const blobs = await blobsOf(start)
  const bad = (await mark(start)).unreferenced.keys().next().value!.slice('sha256:'.length)
  await damage(start, bad)
  const good = blobs.filter((hex) => hex !== bad)
  const check = async (volume: Volume): Promise<void> => {
    for (let n = 0; n < 2; n++) await clean(volume, { sweepAfter: 1e9 }, { scrubBytes: ALL })
    expect(await blobsOf(volume)).toEqual(good)
    expect(await readdir(volume.layout.quarantine)).toEqual([expect.stringContaining(bad)])
    await retrieve(volume, join(await newFolder(), 'target'))
  }
  const operations = Number(await run((await copyOf(start)).layout.root, ALL, Infinity))
  for (let failAt = 1; failAt <= operations; failAt += 5) {
    const volume = await copyOf(start)
    let n = 0
    injectFault(() => {
      if (++n === failAt) throw Object.assign(new Error('EIO'), { code: 'EIO' })
    })
    await clean(volume, { sweepAfter: 1e9 }, { scrubBytes: ALL }).catch(() => undefined)
    injectFault(undefined)
    await check(volume)
  }
  for (let point = 1; point <= 6; point++) {
    const volume = await copyOf(start)
    expect(await run(volume.layout.root, ALL, Math.round((point * operations) / 6))).toBe('killed')
    await check(volume)
  }
}, 240_000)

/** Cleans in another process. @returns how many operations it took, or 'killed' */
async function run(root: string, scrubBytes: number, dieAt: number): Promise<number | 'killed'> {
  const child = fork(join(import.meta.dirname, '../retention/worker.ts'), {
    execArgv: [],
    serialization: 'advanced',
  })
  const order: Order = {
    root,
    role: 'clean',
    folder: '',
    outputs: 0,
    contents: 0,
    purgeAfter: 0,
    scrubBytes,
    dieAt,
  }
  const ended = new Promise<number | 'killed'>((resolve, reject) => {
    child.once('message', (operations) => resolve(Number(operations)))
    child.once('exit', (code) =>
      code === null ? resolve('killed') : reject(new Error(`it ended with ${code}`)),
    )
  })
  child.send(order)
  return ended.finally(() => child.kill())
}
