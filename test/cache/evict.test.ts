import { existsSync } from 'node:fs'
import { chmod, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { evictCache } from '../../src/cache/index.ts'
import { volumeArtifacts } from '../../src/stores/volume-artifacts.ts'
import type { Volume } from '../../src/volume/volume.ts'
import { collect, keyFolder, makeTree, newFolder, newVolume, restore, save, temporaries } from './support.ts'

const MIB = 1024 * 1024
const DAY = 24 * 3.6e6

/** Saves a key of that many MiB that compress to nothing less, and was saved so many days ago. */
async function fill(volume: Volume, key: string, daysAgo: number, mib = 1, content = key, scope = 'main') {
  const source = await makeTree({ 'big.bin': Buffer.alloc(mib * MIB, `${content} `) })
  await save(volume, source, { key, scope })
  const path = join(keyFolder(volume, key, scope), '0.0', 'index.json')
  const index = JSON.parse((await readFile(path)).toString())
  const created = new Date(Date.now() - daysAgo * DAY).toISOString()
  index.manifests[0].annotations['org.opencontainers.image.created'] = created
  await chmod(path, 0o664)
  await writeFile(path, JSON.stringify(index))
}

async function use(volume: Volume, key: string, daysAgo: number): Promise<void> {
  const at = new Date(Date.now() - daysAgo * DAY).toISOString()
  const folder = join(keyFolder(volume, key), 'used')
  await mkdir(folder, { recursive: true })
  await writeFile(join(folder, `${at.slice(0, 10).replaceAll('-', '')}.${at.slice(11, 13)}`), '{}')
}

const keys = async (volume: Volume, scope = 'main'): Promise<string[]> =>
  (await readdir(join(volume.layout.cache, scope))).sort()

const evict = (volume: Volume, maxBytes: number, emit = collect().emit) =>
  evictCache({
    store: volumeArtifacts(volume),
    layout: volume.layout,
    maxBytes,
    emit,
    signal: new AbortController().signal,
  })

describe('an eviction', () => {
  it('takes what was used least recently, and nothing while all fits', async () => {
    const volume = await newVolume()
    await fill(volume, 'a', 4)
    await fill(volume, 'b', 3)
    await fill(volume, 'c', 2)
    expect(await evict(volume, 3.1 * MIB)).toBe(0)
    await use(volume, 'a', 1)
    const { emit, events } = collect()
    expect(await evict(volume, 2.1 * MIB, emit)).toBe(1)
    expect(await keys(volume)).toEqual(['a', 'c'])
    expect(events).toMatchObject([{ event: 'cache-evicted', key: 'shared/cache/main/b' }])
    expect(await temporaries(volume.layout.root)).toEqual([])
  })

  it('counts what keys have in common once', async () => {
    const volume = await newVolume()
    for (const [n, key] of ['a', 'b', 'c'].entries()) await fill(volume, key, n, 3, 'the same')
    expect(await evict(volume, 3.1 * MIB)).toBe(0)
    expect(await evict(volume, 2.9 * MIB)).toBe(3)
  })

  it('goes over all scopes', async () => {
    const volume = await newVolume()
    await fill(volume, 'k', 3, 1, 'one', 'main')
    await fill(volume, 'k', 2, 1, 'two', 'pr')
    await evict(volume, 1.1 * MIB)
    expect([await keys(volume, 'main'), await keys(volume, 'pr')]).toEqual([[], ['k']])
  })

  it('keeps nothing that is older than what went, however small', async () => {
    const volume = await newVolume()
    await fill(volume, 'small', 3)
    await fill(volume, 'large', 2, 5)
    await fill(volume, 'new', 1)
    await evict(volume, 3 * MIB)
    expect(await keys(volume)).toEqual(['new'])
  })

  it('forgets all but the last use, and believes no clock far ahead', async () => {
    const volume = await newVolume()
    await fill(volume, 'a', 6)
    await fill(volume, 'b', 5)
    for (const days of [5.5, 4, 3]) await use(volume, 'b', days)
    await use(volume, 'a', -400)
    await evict(volume, 1.1 * MIB)
    expect(await keys(volume)).toEqual(['b'])
    expect(await readdir(join(keyFolder(volume, 'b'), 'used'))).toHaveLength(1)
  })

  it('leaves a key without entries to whoever is saving it', async () => {
    const volume = await newVolume()
    await mkdir(keyFolder(volume, 'begun'), { recursive: true })
    expect(await evict(volume, 0)).toBe(0)
    expect(await keys(volume)).toEqual(['begun'])
  })

  it('counts nothing for a key whose manifest is gone, and goes on', async () => {
    const volume = await newVolume()
    await fill(volume, 'a', 2)
    await fill(volume, 'b', 1)
    const index = JSON.parse((await readFile(join(keyFolder(volume, 'b'), '0.0', 'index.json'))).toString())
    await rm(volume.layout.blob(index.manifests[0].digest))
    expect(await evict(volume, 1.1 * MIB)).toBe(0)
    expect(await evict(volume, 0)).toBe(1)
    expect(await keys(volume)).toEqual(['b'])
  })

  it('by several at once does what one does', async () => {
    const volume = await newVolume()
    for (let n = 0; n < 6; n++) await fill(volume, `k-${n}`, n)
    await Promise.all(Array.from({ length: 4 }, () => evict(volume, 2.1 * MIB)))
    expect(await keys(volume)).toEqual(['k-0', 'k-1'])
    expect(await temporaries(volume.layout.root)).toEqual([])
  })
})

describe('a save', () => {
  it('makes room for itself before it shows', async () => {
    const volume = await newVolume()
    await fill(volume, 'a', 2)
    await fill(volume, 'b', 1)
    const source = await makeTree({ 'big.bin': Buffer.alloc(1.5 * MIB, 'new') })
    expect(await save(volume, source, { key: 'c', maxBytes: 2.6 * MIB })).toBeDefined()
    expect(await keys(volume)).toEqual(['b', 'c'])
  })

  it('of what the cache has already evicts nothing for it', async () => {
    const volume = await newVolume()
    await fill(volume, 'a', 2, 2, 'shared')
    const source = await makeTree({ 'big.bin': Buffer.alloc(2 * MIB, 'shared ') })
    expect(await save(volume, source, { key: 'b', maxBytes: 2.1 * MIB })).toBeDefined()
    expect(await keys(volume)).toEqual(['a', 'b'])
  })

  it('of a key that is there evicts nothing', async () => {
    const volume = await newVolume()
    await fill(volume, 'a', 2)
    await fill(volume, 'b', 1)
    await save(volume, await makeTree({ x: 'other' }), { key: 'a', maxBytes: 10 })
    expect(await keys(volume)).toEqual(['a', 'b'])
  })
})

it('what is evicted while it is restored is restored', async () => {
  const volume = await newVolume()
  await fill(volume, 'a', 1, 8)
  const target = join(await newFolder(), 'target')
  const restoring = restore(volume, target, { key: 'a' })
  // At whichever moment the eviction falls, the restore is whole or a miss.
  await evict(volume, 0)
  const restored = await restoring
  expect(existsSync(target)).toBe(restored !== undefined)
  expect(await restore(volume, join(await newFolder(), 'target'), { key: 'a' })).toBeUndefined()
})
