import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { clean } from '../retention/support.ts'
import { blobsOf, collect, makeTree, newFolder, newVolume, readTree, restore, save } from './support.ts'

const ROUNDS = 60
/** There is room for one of the trees. */
const maxBytes = 1_200_000
const makeSources = () =>
  Promise.all(['a', 'b', 'c'].map((name) => makeTree({ x: name, 'big.bin': Buffer.alloc(1_100_000, name) })))

it('a sweep takes what was evicted, and nothing of what is cached', async () => {
  const volume = await newVolume()
  const sources = await makeSources()
  for (const [n, source] of sources.entries()) await save(volume, source, { key: `key-${n}`, maxBytes })
  const before = (await blobsOf(volume)).length
  for (const _ of [1, 2]) await clean(volume)
  // A large file, a pack, an index and a manifest are left.
  expect([before, (await blobsOf(volume)).length]).toEqual([12, 4])
  const target = join(await newFolder(), 'target')
  expect(await restore(volume, target, { key: 'key-2' })).toMatchObject({ exact: true })
  expect(await readTree(target)).toEqual(await readTree(sources[2]!))
})

it('what is restored beside sweeps is whole, or a miss', async () => {
  const volume = await newVolume()
  const sources = await makeSources()
  const trees = await Promise.all(sources.map((source) => readTree(source)))
  const over = new AbortController()
  const sweeping = (async () => {
    while (!over.signal.aborted) await clean(volume, { sweepAfter: 100 })
  })()
  let hits = 0
  try {
    for (let round = 0; round < ROUNDS; round++) {
      const n = round % 3
      const key = `key-${round}`
      // Each save evicts the one before, whose blobs the next but one reuses, unless a sweep was faster.
      await save(volume, sources[n]!, { key, maxBytes })
      const target = join(await newFolder(), 'target')
      const { emit, events } = collect()
      const restored = await restore(volume, target, { key, emit })
      if (restored) {
        hits++
        expect(await readTree(target)).toEqual(trees[n])
      } else {
        expect(events.map(({ event }) => event)).toEqual(['cache-damaged', 'cache-missed'])
        expect(existsSync(target)).toBe(false)
      }
    }
  } finally {
    over.abort()
    await sweeping
  }
  expect(hits).toBeGreaterThan(0)
})
