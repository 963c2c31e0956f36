import { lutimes, mkdir, readdir, readFile, rename, rm, symlink, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { injectFault } from '../../src/platform/fs.ts'
import { moveToTrash } from '../../src/volume/trash.ts'
import { mark } from '../../src/retention/mark.ts'
import { bringBack } from '../../src/stores/bring-back.ts'
import type { Volume } from '../../src/volume/volume.ts'
import {
  identity,
  makeTree,
  newFolder,
  newVolume,
  outputFolder,
  readTree,
  retrieve,
  store,
} from '../artifacts/support.ts'
import { blobsOf, clean, restore, sweptOf, trashOf } from './support.ts'

afterEach(() => injectFault(undefined))

const fail = (code: string): never => {
  throw Object.assign(new Error(code), { code })
}

/** Three blobs: a pack, an index, a manifest. */
const source = (text: string): Promise<string> => makeTree({ a: text, b: `${text} b` })

/** A volume with one artifact, moved to trash and purged from there, so that nothing refers to its blobs. */
async function garbage(text = 'content'): Promise<{ volume: Volume; tree: string; blobs: string[] }> {
  const volume = await newVolume()
  const tree = await source(text)
  await store(volume, tree)
  await rm(volume.layout.artifacts, { recursive: true })
  return { volume, tree, blobs: await blobsOf(volume) }
}

async function expectWhole(volume: Volume, tree: string): Promise<void> {
  const target = join(await newFolder(), 'target')
  await retrieve(volume, target)
  expect(await readTree(target)).toEqual(await readTree(tree))
}

describe('blobs', () => {
  it('are swept when two marks found them unreferenced, and purged after a third', async () => {
    const { volume, blobs } = await garbage()
    expect(blobs).toHaveLength(3)
    expect(await clean(volume)).toMatchObject({ swept: 0, freedBytes: 0 })
    expect(await blobsOf(volume)).toEqual(blobs)
    expect(await clean(volume)).toMatchObject({ swept: 3, freedBytes: 0, removed: 0 })
    expect(await blobsOf(volume)).toEqual([])
    expect(await sweptOf(volume)).toEqual(blobs)
    const purged = await clean(volume)
    expect(purged.planned).toEqual({ 'purge-blobs': [expect.stringContaining('/blobs-')] })
    expect(purged.freedBytes).toBeGreaterThan(100)
    expect(await trashOf(volume)).toEqual([])
    expect((await clean(volume)).planned).toEqual({})
  })

  it('wait at each stage for as long as the policy says', async () => {
    const { volume, blobs } = await garbage()
    const hour = { sweepAfter: 3.6e6 }
    for (let n = 0; n < 3; n++) expect((await clean(volume, hour)).swept).toBe(0)
    await clean(volume)
    for (let n = 0; n < 3; n++) expect((await clean(volume, hour)).freedBytes).toBe(0)
    expect(await sweptOf(volume)).toEqual(blobs)
  })

  it('start to count again when something referred to them in between', async () => {
    const { volume, tree } = await garbage()
    await clean(volume)
    await store(volume, tree)
    await clean(volume)
    await rm(volume.layout.artifacts, { recursive: true })
    expect((await clean(volume)).swept).toBe(0)
    expect((await clean(volume)).swept).toBe(3)
  })

  it('that were stored anew after a sweep start to count again', async () => {
    const { volume, tree } = await garbage()
    for (let n = 0; n < 3; n++) await clean(volume)
    await store(volume, tree)
    await rm(volume.layout.artifacts, { recursive: true })
    expect((await clean(volume)).swept).toBe(0)
  })

  it.each(['artifacts', 'trash', 'shared/cache'])('that %s refers to stay', async (root) => {
    const volume = await newVolume()
    const tree = await source('kept')
    await store(volume, tree)
    const folder = outputFolder(volume)
    if (root === 'trash') await moveToTrash(volume, folder, 'a test')
    if (root === 'shared/cache') {
      const scope = join(volume.layout.cache, 'scope')
      await mkdir(scope, { recursive: true })
      await rename(folder, join(scope, 'key'))
    }
    for (let n = 0; n < 4; n++) expect(await clean(volume)).toMatchObject({ swept: 0, blocked: 0 })
    expect(await blobsOf(volume)).toHaveLength(3)
  })

  it('of a trashed artifact are there when it is restored, also beside purges of others', async () => {
    const { volume, tree } = await garbage()
    await store(volume, tree)
    await store(volume, await source('other'), { output: 'other' })
    await moveToTrash(volume, outputFolder(volume), 'a test')
    await rm(join(outputFolder(volume), '../other'), { recursive: true })
    for (let n = 0; n < 4; n++) await clean(volume)
    expect(await blobsOf(volume)).toHaveLength(3)
    await restore(volume, 'artifacts/')
    await expectWhole(volume, tree)
  })

  it('that a dry run would sweep or purge stay, and it leaves nothing behind', async () => {
    const { volume } = await garbage()
    await clean(volume)
    const before = await readdir(volume.layout.root, { recursive: true })
    const dry = await clean(volume, {}, { dryRun: true })
    expect(dry.planned).toEqual({ sweep: ['store/blobs'] })
    expect(await readdir(volume.layout.root, { recursive: true })).toEqual(before)
    expect((await clean(volume)).planned).toEqual(dry.planned)
    expect(await clean(volume, {}, { dryRun: true })).toMatchObject({ freedBytes: 0, swept: 0 })
    expect(await sweptOf(volume)).toHaveLength(3)
  })

  it('that two collectors sweep and purge at once go once, and neither fails', async () => {
    const { volume } = await garbage()
    await clean(volume)
    const both = await Promise.all([clean(volume), clean(volume)])
    expect(both[0].swept + both[1].swept).toBe(3)
    expect(await blobsOf(volume)).toEqual([])
    const purges = await Promise.all([clean(volume), clean(volume)])
    expect([...both, ...purges].map(({ blocked }) => blocked)).toEqual([0, 0, 0, 0])
    await clean(volume)
    expect(await trashOf(volume)).toEqual([])
  })
})

describe('what a sweep meets on its way', () => {
  /** Calls `during` at the sweep's first move. */
  async function cleanWhile(volume: Volume, during: () => Promise<void>): Promise<void> {
    let once = false
    injectFault(async (operation, path) => {
      if (once || operation !== 'rename' || !path.includes('/blobs-') || path.includes('.tmp-')) return
      if (!path.includes('/content/')) return
      once = true
      await during()
    })
    await clean(volume)
    injectFault(undefined)
    expect(once).toBe(true)
  }

  it('an artifact published just before the move gets its blobs back', async () => {
    const { volume, tree, blobs } = await garbage()
    await clean(volume)
    await cleanWhile(volume, async () => void (await store(volume, tree)))
    expect(await blobsOf(volume)).toEqual(blobs)
    await expectWhole(volume, tree)
    // The copies in trash are purged, and nothing else.
    for (let n = 0; n < 3; n++) await clean(volume)
    expect(await sweptOf(volume)).toEqual([])
    await expectWhole(volume, tree)
  })

  it('a collector killed after the moves leaves that to the next one', async () => {
    const { volume, tree, blobs } = await garbage()
    await clean(volume)
    await cleanWhile(volume, async () => {
      await store(volume, tree)
      injectFault((operation, path) => {
        if (operation === 'readdir' && path.startsWith(volume.layout.artifacts)) fail('EIO')
      })
    })
    expect(await blobsOf(volume)).toEqual([])
    expect((await mark(volume)).missing).toEqual(new Set())
    expect(await blobsOf(volume)).toEqual(blobs)
    await expectWhole(volume, tree)
  })

  it('what is restored from trash while a mark reads is seen to refer', async () => {
    const volume = await newVolume()
    await store(volume, await source('restored'))
    await moveToTrash(volume, outputFolder(volume), 'a test')
    let once = false
    injectFault(async (operation, path) => {
      if (once || operation !== 'readdir' || path !== volume.layout.trash) return
      once = true
      await restore(volume, 'artifacts/')
    })
    expect((await mark(volume)).unreferenced).toEqual(new Map())
    expect(once).toBe(true)
  })

  it('a root that cannot be read stops sweep and purge, and is counted', async () => {
    const { volume, blobs } = await garbage()
    await store(volume, await source('other'))
    await clean(volume)
    const broken = join(outputFolder(volume), '0.0/index.json')
    injectFault((operation, path) => {
      if (operation === 'readFile' && path === broken) fail('EIO')
    })
    const stopped = await clean(volume)
    expect(stopped).toMatchObject({ swept: 0, blocked: 2 })
    const reported = stopped.events.filter((event) => event.event === 'retention-blocked')
    expect(reported.map(({ path }) => path)).toEqual(['artifacts/uid-run-1/build/out/0.0', 'store/blobs'])
    injectFault(undefined)
    expect((await clean(volume)).swept).toBe(3)
    injectFault((operation, path) => {
      if (operation === 'readdir' && path === volume.layout.cache) fail('EIO')
    })
    expect(await clean(volume)).toMatchObject({ freedBytes: 0 })
    expect(await sweptOf(volume)).toEqual(blobs)
  })

  it.each([
    ['a damaged index.json', async (folder: string) => writeFile(join(folder, '0.0/index.json'), '{}')],
    ['a symlink among the folders', async (folder: string) => symlink('/etc', join(folder, 'link'))],
  ])('%s stops the sweep', async (_, spoil) => {
    const { volume, blobs } = await garbage()
    await store(volume, await source('other'))
    await spoil(outputFolder(volume))
    for (let n = 0; n < 3; n++) expect((await clean(volume)).swept).toBe(0)
    expect(await blobsOf(volume)).toEqual(expect.arrayContaining(blobs))
  })

  it('says which artifact misses a blob that nobody has', async () => {
    const volume = await newVolume()
    await store(volume, await source('lost'))
    const [manifest] = [JSON.parse(await readFile(join(outputFolder(volume), '0.0/index.json'), 'utf8'))]
    const digest = manifest.manifests[0].digest as string
    const lost = (await blobsOf(volume)).find((hex) => `sha256:${hex}` !== digest)!
    await rm(volume.layout.blob(lost), { force: true })
    const { events } = await clean(volume)
    expect(events).toContainEqual({
      event: 'blob-missing',
      digest: `sha256:${lost}`,
      artifacts: [`workspace://${volume.id}/uid-run-1/build/out`],
    })
  })
})

describe('bringing back', () => {
  it('links a swept blob back, may be done again, and outlives the purge', async () => {
    const { volume, blobs } = await garbage()
    await clean(volume)
    await clean(volume)
    const digest = `sha256:${blobs[0]}`
    expect(await Promise.all([1, 2, 3].map(() => bringBack(volume.layout, digest)))).toEqual([
      true,
      true,
      true,
    ])
    expect(await blobsOf(volume)).toEqual([blobs[0]])
    const { freedBytes } = await clean(volume)
    expect(await sweptOf(volume)).toEqual([])
    expect(await blobsOf(volume)).toEqual([blobs[0]])
    expect(await bringBack(volume.layout, digest)).toBe(true)
    // What stayed in the store was not given back.
    const total = freedBytes + (await readFile(volume.layout.blob(blobs[0]!))).length
    expect(total).toBeGreaterThan(freedBytes)
    expect(await bringBack(volume.layout, `sha256:${blobs[1]}`)).toBe(false)
  })

  it('is done again where another collector sweeps the blob once more before it is read', async () => {
    const { volume, tree } = await garbage()
    const folder = outputFolder(volume)
    await store(volume, tree)
    const away = join(await newFolder(), 'away')
    await rename(folder, away)
    for (let n = 0; n < 2; n++) await clean(volume)
    await rename(away, folder)
    const store256 = join(volume.layout.blobs, 'sha256')
    let again = 0
    injectFault(async (operation, path) => {
      if (operation !== 'sync' || path !== store256 || again >= 3) return
      again++
      for (const hex of await blobsOf(volume)) await rm(volume.layout.blob(hex))
    })
    await expectWhole(volume, tree)
    expect(again).toBe(3)
  })

  it('wins or loses against a purge, and never ends in between', async () => {
    for (let round = 0; round < 40; round++) {
      const { volume, blobs } = await garbage(`round ${round}`)
      await clean(volume)
      await clean(volume)
      const digest = `sha256:${blobs[round % 3]}`
      const [back] = await Promise.all([bringBack(volume.layout, digest), clean(volume)])
      expect(await blobsOf(volume)).toEqual(back ? [blobs[round % 3]] : [])
    }
  })

  it('serves a mark whose manifest was swept', async () => {
    const { volume, tree, blobs } = await garbage()
    const folder = outputFolder(volume)
    await store(volume, tree)
    const away = join(await newFolder(), 'away')
    await rename(folder, away)
    await clean(volume)
    await clean(volume)
    expect(await blobsOf(volume)).toEqual([])
    await rename(away, folder)
    expect((await clean(volume)).blocked).toBe(0)
    expect(await blobsOf(volume)).toEqual(blobs)
    await expectWhole(volume, tree)
  })
})

describe('a full disk', () => {
  it('still gets its room back: purges need nothing written', async () => {
    const { volume } = await garbage()
    await clean(volume)
    await clean(volume)
    injectFault((operation) => {
      if (['write', 'mkdir', 'symlink', 'link'].includes(operation)) fail('ENOSPC')
    })
    const { freedBytes, events } = await clean(volume)
    expect(freedBytes).toBeGreaterThan(100)
    expect(events).toContainEqual(
      expect.objectContaining({ event: 'retention-blocked', path: 'store/marks' }),
    )
  })
})

it('leftovers of killed collectors and writers go a day later', async () => {
  const { volume } = await garbage()
  await clean(volume)
  await clean(volume)
  const day = join((await trashOf(volume))[0]!, '..')
  const places = [join(volume.layout.blobs, 'sha256'), volume.layout.marks, day]
  for (const place of places) {
    await writeFile(join(place, '.tmp-000000000000'), 'x')
    await utimes(join(place, '.tmp-000000000000'), 0, 0)
  }
  await writeFile(join(places[0]!, '.tmp-111111111111'), 'at work')
  expect((await clean(volume)).planned['purge']).toHaveLength(3)
  expect(await readdir(places[0]!)).toEqual(['.tmp-111111111111'])
})

it('what was noted of stored files goes a week later', async () => {
  const volume = await newVolume()
  await mkdir(volume.layout.notes, { recursive: true })
  for (const [name, days] of Object.entries({ aa: 6.9, bb: 7.1, '.tmp-000000000000': 8 })) {
    const path = join(volume.layout.notes, name)
    await writeFile(path, 'a note')
    await utimes(path, new Date(), new Date(Date.now() - days * 24 * 3.6e6))
  }
  await clean(volume)
  expect(await readdir(volume.layout.notes)).toEqual(['aa'])
})

it('the beginning of a large blob goes after its blob', async () => {
  const volume = await newVolume()
  await mkdir(volume.layout.beginnings, { recursive: true })
  for (const [name, target] of [
    ['there', 'blob'],
    ['gone', 'no-blob'],
  ] as const) {
    await symlink(`../blobs/sha256/${target}`, join(volume.layout.beginnings, name))
    await lutimes(join(volume.layout.beginnings, name), 0, 0)
  }
  await mkdir(join(volume.layout.blobs, 'sha256'), { recursive: true })
  await writeFile(join(volume.layout.blobs, 'sha256/blob'), '')
  await clean(volume)
  expect(await readdir(volume.layout.beginnings)).toEqual(['there'])
})

it('two stores of the same content by several pods share their blobs through a sweep', async () => {
  const { volume, tree } = await garbage()
  await clean(volume)
  await Promise.all([
    store(volume, tree),
    store(volume, tree, { identity: identity({ task: 'other' }) }),
    clean(volume),
  ])
  await clean(volume)
  await expectWhole(volume, tree)
})
