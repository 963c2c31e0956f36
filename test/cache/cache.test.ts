import { existsSync } from 'node:fs'
import { mkdir, readdir, readFile, rm, stat, truncate, writeFile, chmod } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import { indexJson } from '../../src/artifacts/index.ts'
import { injectFault } from '../../src/platform/fs.ts'
import { volumeArtifacts } from '../../src/stores/volume-artifacts.ts'
import type { Volume } from '../../src/volume/volume.ts'
import { codeOf, identity } from '../artifacts/support.ts'
import {
  blobsOf,
  collect,
  keyFolder,
  makeTree,
  newFolder,
  newVolume,
  readTree,
  restore,
  save,
  temporaries,
} from './support.ts'

const TREE = {
  'a/x': 'one',
  'bin*': 'run',
  'big.bin': Buffer.alloc(1_200_000, 'big'),
  empty: null,
  l: { link: 'a' },
}
const entries = async (volume: Volume, key = 'key', scope = 'main'): Promise<string[]> =>
  (await readdir(keyFolder(volume, key, scope))).filter((name) => name !== 'used')
const newTarget = async (): Promise<string> => join(await newFolder(), 'target')

/** Makes an entry older or newer than those that are saved here and now. */
async function setCreated(volume: Volume, key: string, created: string, scope = 'main'): Promise<void> {
  const path = join(keyFolder(volume, key, scope), '0.0', 'index.json')
  const index = JSON.parse((await readFile(path)).toString())
  index.manifests[0].annotations['org.opencontainers.image.created'] = created
  await chmod(path, 0o664)
  await writeFile(path, JSON.stringify(index))
}

describe('a saved folder', () => {
  it('is restored as it was', async () => {
    const volume = await newVolume()
    const source = await makeTree(TREE)
    const saved = await save(volume, source)
    expect(saved).toMatchObject({ files: 3, bytes: 1_200_006 })
    const target = await newTarget()
    const restored = await restore(volume, target)
    expect(restored).toEqual({ ...saved, scope: 'main', key: 'key', exact: true })
    expect(await readTree(target)).toEqual(await readTree(source))
  })

  it('is an OCI image layout with the key as its name', async () => {
    const volume = await newVolume()
    const saved = await save(volume, await makeTree(TREE))
    const layout = join(keyFolder(volume), '0.0')
    const [manifest] = JSON.parse((await readFile(join(layout, 'index.json'))).toString()).manifests
    expect(manifest.digest).toBe(saved?.digest)
    expect(manifest.annotations['org.opencontainers.image.ref.name']).toBe('key')
    expect(existsSync(join(layout, 'blobs/sha256', manifest.digest.slice(7)))).toBe(true)
  })

  it('is never replaced: what a key stands for does not change', async () => {
    const volume = await newVolume()
    const first = await save(volume, await makeTree({ x: 'first' }))
    const { emit, events } = collect()
    expect(await save(volume, await makeTree({ x: 'second' }), { emit })).toBeUndefined()
    expect(events).toMatchObject([{ event: 'cache-skipped', why: 'it is saved already' }])
    expect(await restore(volume, await newTarget())).toMatchObject({ digest: first?.digest })
    expect(await entries(volume)).toEqual(['0.0'])
  })

  it.each([
    ['an empty folder', async () => newFolder()],
    ['empty folders', async () => makeTree({ a: null, 'b/c': null })],
    ['nothing at all', async () => join(await newFolder(), 'missing')],
  ])('is not there where it was %s', async (_, make) => {
    const volume = await newVolume()
    const { emit, events } = collect()
    expect(await save(volume, await make(), { emit })).toBeUndefined()
    expect(events).toMatchObject([{ event: 'cache-skipped', why: expect.stringContaining('no files') }])
    expect(await restore(volume, await newTarget())).toBeUndefined()
    expect(existsSync(keyFolder(volume))).toBe(false)
  })

  it('of more bytes than the whole cache may have is not saved, and evicts nothing', async () => {
    const volume = await newVolume()
    await save(volume, await makeTree({ x: 'small' }), { key: 'small' })
    const { emit, events } = collect()
    const big = await makeTree({ 'big.bin': Buffer.alloc(1_200_000, 'big') })
    expect(await save(volume, big, { emit, maxBytes: 1_000_000 })).toBeUndefined()
    expect(events).toMatchObject([{ event: 'cache-skipped', why: expect.stringContaining('more than') }])
    expect(await restore(volume, await newTarget(), { key: 'small' })).toBeDefined()
  })

  it('that changes while it is saved is not saved', async () => {
    const volume = await newVolume()
    const source = await makeTree({ x: 'before' })
    injectFault(async (operation, path) => {
      if (operation === 'read' && path.endsWith('/x')) await writeFile(join(source, 'x'), 'after!')
    })
    onTestFinished(() => injectFault(undefined))
    expect(await codeOf(save(volume, source))).toBe('SOURCE_CHANGED')
    expect(existsSync(keyFolder(volume))).toBe(false)
  })

  it.each(['..', 'a/b', '', 'x'.repeat(129), 'sp ace'])('cannot have the key %j', async (key) => {
    const volume = await newVolume()
    expect(await codeOf(save(volume, await makeTree(TREE), { key }))).toBe('UNSAFE_PATH')
  })
})

describe('a restore takes', () => {
  const found = async (volume: Volume, more: Parameters<typeof restore>[2]): Promise<string | undefined> => {
    const restored = await restore(volume, await newTarget(), more)
    return restored && `${restored.scope} ${restored.key}`
  }
  const scopes = { own: 'pr', fallbacks: ['main', 'old'] }

  async function saveAll(volume: Volume, keys: readonly string[]): Promise<void> {
    for (const [n, name] of keys.entries()) {
      const [scope = '', key = ''] = name.split(' ')
      await save(volume, await makeTree({ x: name }), { scope, key })
      await setCreated(volume, key, `2026-01-0${n + 1}T00:00:00.000Z`, scope)
    }
  }

  it('the key itself from any of its scopes, before all prefixes', async () => {
    const volume = await newVolume()
    await saveAll(volume, ['old npm-1', 'main npm-1', 'pr npm-2', 'main npm-10'])
    const prefixes = ['npm-']
    expect(await found(volume, { key: 'npm-1', prefixes, scopes })).toBe('main npm-1')
    expect(await found(volume, { key: 'npm-2', prefixes, scopes })).toBe('pr npm-2')
    expect(await found(volume, { key: 'npm-1', prefixes, scopes: { own: 'old', fallbacks: [] } })).toBe(
      'old npm-1',
    )
  })

  it('then for each prefix in their order, the newest of the first scope that has one', async () => {
    const volume = await newVolume()
    await saveAll(volume, ['pr npm-b-1', 'pr npm-b-2', 'main npm-a-2', 'main npm-a-1', 'other npm-a-9'])
    const wanted = { key: 'npm-a-9', scopes }
    expect(await found(volume, { ...wanted, prefixes: ['npm-a-', 'npm-'] })).toBe('main npm-a-1')
    expect(await found(volume, { ...wanted, prefixes: ['npm-'] })).toBe('pr npm-b-2')
    expect(await found(volume, { ...wanted, prefixes: ['go-', 'npm-b'] })).toBe('pr npm-b-2')
    expect(await found(volume, { ...wanted, prefixes: ['go-'] })).toBeUndefined()
    expect(await found(volume, wanted)).toBeUndefined()
  })

  it('nothing of other scopes, and a pull request writes its own only', async () => {
    const volume = await newVolume()
    await saveAll(volume, ['main k'])
    await save(volume, await makeTree({ x: 'from the pull request' }), { scope: 'pr', key: 'k-2' })
    expect(await found(volume, { key: 'k-2', prefixes: ['k'] })).toBe('main k')
    expect(await readdir(volume.layout.cache)).toEqual(['main', 'pr'])
    expect(await readdir(join(volume.layout.cache, 'main'))).toEqual(['k'])
  })

  it('and says whether it was the key itself', async () => {
    const volume = await newVolume()
    await save(volume, await makeTree(TREE), { key: 'npm-1' })
    const partial = { key: 'npm-2', prefixes: ['npm-'] }
    expect(await restore(volume, await newTarget(), partial)).toMatchObject({ exact: false, key: 'npm-1' })
    expect(await restore(volume, await newTarget(), { key: 'npm-1' })).toMatchObject({ exact: true })
    // After a partial hit the whole is saved under the key that was missed.
    expect(await save(volume, await makeTree(TREE), { key: 'npm-2' })).toBeDefined()
    expect(await restore(volume, await newTarget(), partial)).toMatchObject({ exact: true, key: 'npm-2' })
  })
})

describe('a damaged entry', () => {
  /** Two entries that share nothing; then something happens to the blobs of the newer one. */
  async function damaged(harm: (blob: string) => Promise<void>, which: (size: number) => boolean) {
    const volume = await newVolume()
    await save(volume, await makeTree({ x: 'older' }), { key: 'k-1' })
    await setCreated(volume, 'k-1', '2026-01-01T00:00:00.000Z')
    const before = await blobsOf(volume)
    const source = await makeTree(TREE)
    await save(volume, source, { key: 'k-2' })
    let harmed = 0
    for (const blob of await blobsOf(volume)) {
      if (before.includes(blob) || !which((await stat(blob)).size)) continue
      await harm(blob)
      harmed++
    }
    expect(harmed).toBeGreaterThan(0)
    return { volume, source }
  }
  const isLarge = (size: number): boolean => size > 1_000_000
  const flipped = async (blob: string): Promise<void> => {
    const data = await readFile(blob)
    data[data.length - 1]! ^= 1
    await rm(blob)
    await writeFile(blob, data)
  }

  it.each([
    ['a file that is missing', rm, isLarge],
    ['its manifest, index and pack missing', rm, (size: number) => !isLarge(size)],
    ['everything missing', rm, () => true],
    ['a file that is too short', (blob: string) => truncate(blob, 10), isLarge],
    ['a file with another byte in it', flipped, isLarge],
    ['other bytes in everything else', flipped, (size: number) => !isLarge(size)],
  ])('is a miss that is told: %s', async (_, harm, which) => {
    const { volume } = await damaged(harm, which)
    const { emit, events } = collect()
    const target = await newTarget()
    expect(await restore(volume, target, { key: 'k-2', emit })).toBeUndefined()
    expect(events.map(({ event }) => event)).toEqual(['cache-damaged', 'cache-missed'])
    expect(existsSync(target)).toBe(false)
    expect(await temporaries(join(target, '..'))).toEqual([])
  })

  it('is passed over for the next best', async () => {
    const { volume } = await damaged(rm, isLarge)
    const restored = await restore(volume, await newTarget(), { key: 'k-3', prefixes: ['k-'] })
    expect(restored).toMatchObject({ key: 'k-1', exact: false })
  })

  it('leaves a folder that exists as it is', async () => {
    const { volume } = await damaged(flipped, isLarge)
    const target = await makeTree({ mine: 'm' })
    expect(await restore(volume, target, { key: 'k-2' })).toBeUndefined()
    expect(await readdir(target)).toEqual(['mine'])
  })

  it('is whole again after the next save of the same content', async () => {
    const { volume, source } = await damaged(rm, isLarge)
    expect(await save(volume, source, { key: 'k-2' })).toBeDefined()
    expect(await entries(volume, 'k-2')).toEqual(['0.0'])
    expect(await restore(volume, await newTarget(), { key: 'k-2' })).toMatchObject({ exact: true })
  })

  it('is replaced by the next save of its key', async () => {
    const { volume } = await damaged(rm, isLarge)
    const source = await makeTree({ x: 'built anew' })
    expect(await save(volume, source, { key: 'k-2' })).toBeDefined()
    expect(await entries(volume, 'k-2')).toEqual(['0.0', '0.1'])
    const target = await newTarget()
    expect(await restore(volume, target, { key: 'k-2' })).toMatchObject({ exact: true })
    expect(await readTree(target)).toEqual(await readTree(source))
  })

  it.each([
    ['missing', rm],
    ['too short', (blob: string) => truncate(blob, 10)],
  ])('does not keep its key: a file that is %s', async (_, harm) => {
    const { volume } = await damaged(harm, isLarge)
    expect(await save(volume, await makeTree({ x: 'built anew' }), { key: 'k-2' })).toBeDefined()
    expect(await restore(volume, await newTarget(), { key: 'k-2' })).toMatchObject({ bytes: 10 })
  })

  it('whose index.json is none of ours is a miss, too', async () => {
    const { volume } = await damaged(rm, isLarge)
    await writeFile(join(keyFolder(volume, 'k-1'), '0.0', 'index.json'), '{"truncated')
    const { emit, events } = collect()
    const wanted = { key: 'k-1', prefixes: ['k-'], emit }
    expect(await restore(volume, await newTarget(), wanted)).toBeUndefined()
    expect(events.filter(({ event }) => event === 'cache-damaged')).toHaveLength(2)
  })
})

describe('a folder that exists', () => {
  it('gets what it lacks', async () => {
    const volume = await newVolume()
    const source = await makeTree(TREE)
    await save(volume, source)
    const target = await makeTree({ 'a/x': 'one', mine: 'm' })
    expect(await restore(volume, target)).toBeDefined()
    expect(await readTree(target)).toMatchObject(await readTree(source))
    expect(await readFile(join(target, 'mine'), 'utf8')).toBe('m')
  })

  it('with other content is left as it is, and told', async () => {
    const volume = await newVolume()
    await save(volume, await makeTree(TREE), { key: 'k-2' })
    await save(volume, await makeTree({ y: 'y' }), { key: 'k-1' })
    const target = await makeTree({ 'a/x': 'two' })
    const { emit, events } = collect()
    expect(await restore(volume, target, { key: 'k-2', prefixes: ['k-'], emit })).toBeUndefined()
    expect(events).toMatchObject([{ event: 'cache-skipped', why: expect.stringContaining('a/x') }])
    expect(await readTree(target)).toEqual(await readTree(await makeTree({ 'a/x': 'two' })))
  })
})

describe('the use of a key', () => {
  const uses = (volume: Volume): Promise<string[]> => readdir(join(keyFolder(volume), 'used'))

  it('is one more file in each hour', async () => {
    const volume = await newVolume()
    await save(volume, await makeTree(TREE))
    await mkdir(join(keyFolder(volume), 'used'))
    await writeFile(join(keyFolder(volume), 'used', '20260101.07'), '{}')
    for (const _ of [1, 2]) await restore(volume, await newTarget())
    // Two, where the clock struck between them.
    expect([2, 3]).toContain((await uses(volume)).length)
    expect((await uses(volume)).at(-1)).toMatch(/^20\d{6}\.\d\d$/)
  })

  it.each(['EROFS', 'ENOSPC'])('that cannot be recorded (%s) does not stop the restore', async (code) => {
    const volume = await newVolume()
    await save(volume, await makeTree(TREE))
    injectFault((operation, path) => {
      if (path.includes('/used') && operation !== 'readdir')
        throw Object.assign(new Error(`${code}: ${path}`), { code })
    })
    onTestFinished(() => injectFault(undefined))
    const { emit, events } = collect()
    expect(await restore(volume, await newTarget(), { emit })).toBeDefined()
    expect(events.map(({ event }) => event)).toEqual(['cache-restored', 'warning'])
  })
})

it('a save finds its key taken away while it publishes, and makes it again', async () => {
  const volume = await newVolume()
  let taken = 0
  injectFault(async (operation, path) => {
    if (operation !== 'rename' || !path.endsWith('/key/0.0') || taken++ > 0) return
    await rm(keyFolder(volume), { recursive: true })
  })
  onTestFinished(() => injectFault(undefined))
  expect(await save(volume, await makeTree(TREE))).toBeDefined()
  expect(taken).toBe(2)
  expect(await restore(volume, await newTarget())).toBeDefined()
})

it('a key that goes between being listed and read is a plain miss', async () => {
  const volume = await newVolume()
  await save(volume, await makeTree(TREE))
  injectFault(async (operation, path) => {
    if (operation === 'readFile' && path.endsWith('index.json'))
      await rm(keyFolder(volume), { recursive: true })
  })
  onTestFinished(() => injectFault(undefined))
  const { emit, events } = collect()
  expect(await restore(volume, await newTarget(), { emit })).toBeUndefined()
  expect(events).toMatchObject([{ event: 'cache-missed' }])
})

it('a blob that goes while it is reused is stored again', async () => {
  const volume = await newVolume()
  const source = await makeTree(TREE)
  await save(volume, source, { key: 'old' })
  // A sweep takes what nothing refers to: here, at the moment when the new entry appears.
  injectFault(async (operation, path) => {
    if (operation !== 'rename' || !path.endsWith('/key/0.0')) return
    for (const blob of await blobsOf(volume)) await rm(blob)
  })
  onTestFinished(() => injectFault(undefined))
  expect(await save(volume, source)).toBeDefined()
  injectFault(undefined)
  const target = await newTarget()
  expect(await restore(volume, target)).toMatchObject({ exact: true })
  expect(await readTree(target)).toEqual(await readTree(source))
})

it('an entry of somebody else under the same key wins where it came first', async () => {
  const volume = await newVolume()
  const store = volumeArtifacts(volume)
  const other = await save(volume, await makeTree({ x: 'theirs' }), { key: 'their-key' })
  const bytes = (await stat(volume.layout.blob(other!.digest))).size
  let published = false
  injectFault(async (operation, path) => {
    if (operation !== 'mkdir' || published || !path.startsWith(keyFolder(volume))) return
    published = true
    const document = indexJson({ digest: other!.digest, size: bytes }, 'key', identity({ pod: 'other' }))
    await store.publish(['shared', 'cache', 'main', 'key'], '0.0', 'artifact', document)
  })
  onTestFinished(() => injectFault(undefined))
  const { emit, events } = collect()
  expect(await save(volume, await makeTree({ x: 'ours' }), { emit })).toBeUndefined()
  expect(events).toMatchObject([{ event: 'cache-skipped', why: 'somebody saved it meanwhile' }])
  expect(await restore(volume, await newTarget())).toMatchObject({ digest: other?.digest })
})
