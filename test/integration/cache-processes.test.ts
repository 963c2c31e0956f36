/** Savers, restorers and evictions as processes of their own. */
import { existsSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { identity } from '../artifacts/support.ts'
import { startWorker } from '../cache/processes.ts'
import { keyFolder, makeTree, newFolder, newVolume, readTree, restore, save } from '../cache/support.ts'
import type { Answer } from '../cache/worker.ts'

const TREE = {
  ...Object.fromEntries(Array.from({ length: 12 }, (_, n) => [`dir-${n % 3}/file-${n}`, `content ${n}`])),
  'big.bin': Buffer.alloc(1_500_000, 'big'),
}
const POINTS = 11
const ROUNDS = 60

describe('a save that is killed', () => {
  it('leaves nothing or a whole entry, and the next one saves it', async () => {
    const source = await makeTree(TREE)
    const order = { identity: identity(), key: 'key', source }
    const whole = (await startWorker().tell({ ...order, root: (await newVolume()).layout.root })) as Answer
    let unseen = 0
    await Promise.all(
      Array.from({ length: POINTS }, async (_, n) => {
        const dieAt = 1 + Math.round((n * (whole.operations - 1)) / (POINTS - 1))
        const volume = await newVolume()
        expect(await startWorker().tell({ ...order, root: volume.layout.root, dieAt })).toBe('killed')
        const target = join(await newFolder(), 'target')
        const found = await restore(volume, target)
        if (found) expect(await readTree(target)).toEqual(await readTree(source))
        else {
          unseen++
          expect(existsSync(target)).toBe(false)
          expect(await save(volume, source)).toBeDefined()
          expect(await restore(volume, target)).toMatchObject({ digest: whole.digest })
        }
      }),
    )
    expect(unseen).toBeGreaterThan(POINTS / 2)
  })

  it('in the middle of an eviction leaves whole keys only', async () => {
    const source = await makeTree(TREE)
    const filled = async () => {
      const volume = await newVolume()
      for (const key of ['a', 'b', 'c'])
        await save(volume, await makeTree({ 'big.bin': Buffer.alloc(1_200_000, key) }), { key })
      return volume
    }
    const order = { identity: identity(), key: 'key', source, maxBytes: 2_000_000 }
    const { operations } = (await startWorker().tell({
      ...order,
      root: (await filled()).layout.root,
    })) as Answer
    let between = 0
    await Promise.all(
      Array.from({ length: POINTS }, async (_, n) => {
        const dieAt = Math.round(operations * (0.5 + n / (2 * POINTS)))
        const volume = await filled()
        expect(await startWorker().tell({ ...order, root: volume.layout.root, dieAt })).toBe('killed')
        const left = await readdir(join(volume.layout.cache, 'main'))
        for (const key of left.filter((name) => !name.startsWith('.') && name !== 'key'))
          expect(await restore(volume, join(await newFolder(), 'target'), { key })).toBeDefined()
        const whole = left.filter((name) => name.length === 1).length
        if (whole > 0 && whole < 3) between++
      }),
    )
    // Otherwise nobody was killed within the eviction.
    expect(between).toBeGreaterThan(0)
  })
})

it('of two that save one key at once exactly one is what everybody gets', async () => {
  const volume = await newVolume()
  const { root } = volume.layout
  const [one, other] = [startWorker(), startWorker()]
  const sources = [await makeTree({ x: 'one' }), await makeTree({ x: 'other' })]
  const won = [0, 0]
  for (let round = 0; round < ROUNDS; round++) {
    const order = { root, identity: identity(), key: `key-${round}` }
    const answers = (await Promise.all([
      one.tell({ ...order, source: sources[0]!, waitMs: Math.random() * 10 }),
      other.tell({ ...order, source: sources[1]!, waitMs: Math.random() * 10 }),
    ])) as Answer[]
    expect(answers.map(({ error }) => error)).toEqual([undefined, undefined])
    const winners = answers.flatMap(({ digest }, n) => (digest ? [n] : []))
    expect(winners).toHaveLength(1)
    won[winners[0]!]!++
    expect(await readdir(keyFolder(volume, order.key))).toEqual(['0.0'])
    const restored = await restore(volume, join(await newFolder(), 'target'), { key: order.key })
    expect(restored?.digest).toBe(answers[winners[0]!]!.digest)
  }
  // Otherwise nothing raced.
  expect(Math.min(...won)).toBeGreaterThan(0)
})

it('restores beside evictions are whole or misses, and saves are never hurt', async () => {
  const volume = await newVolume()
  const { root } = volume.layout
  const [saver, restorer, evictor] = [startWorker(), startWorker(), startWorker()]
  const source = await makeTree(TREE)
  const expected = await readTree(source)
  const seen = { hit: 0, miss: 0, evicted: 0 }
  for (let round = 0; round < ROUNDS; round++) {
    const target = join(await newFolder(), 'target')
    const order = { root, identity: identity() }
    const [restored, ...saved] = (await Promise.all([
      restorer.tell({ ...order, key: 'key', target, waitMs: Math.random() * 40 }),
      saver.tell({ ...order, key: 'key', source, waitMs: Math.random() * 20 }),
      // There is room for what this saves, and nothing else.
      evictor.tell({
        ...order,
        key: `other-${round}`,
        source: await makeTree({ x: `${round}` }),
        maxBytes: 5_000,
        waitMs: Math.random() * 20,
      }),
    ])) as Answer[]
    expect([restored, ...saved].map((answer) => answer?.error)).toEqual([undefined, undefined, undefined])
    expect(restored?.events.filter(({ event }) => event === 'cache-damaged')).toEqual([])
    seen[restored?.digest ? 'hit' : 'miss']++
    const told = saved.flatMap(({ events }) => events)
    if (told.some((one) => one.event === 'cache-evicted' && one.key.endsWith('/key'))) seen.evicted++
    if (restored?.digest) expect(await readTree(target)).toEqual(expected)
    else expect(existsSync(target)).toBe(false)
  }
  expect(seen.hit).toBeGreaterThan(0)
  expect(seen.miss).toBeGreaterThan(0)
  expect(seen.evicted).toBeGreaterThan(ROUNDS / 4)
})
