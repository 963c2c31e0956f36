import { readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { injectFault } from '../../src/platform/fs.ts'
import type { Volume } from '../../src/volume/volume.ts'
import {
  codeOf,
  makeTree,
  newFolder,
  newVolume,
  outputFolder,
  readTree,
  retrieve,
  store,
} from '../artifacts/support.ts'
import { blobsOf, clean, damage, type Told } from './support.ts'

afterEach(() => injectFault(undefined))

const ALL = 2 ** 40

const scrubbed = (volume: Volume, scrubBytes = ALL): Promise<Told> => clean(volume, {}, { scrubBytes })

/** The blobs that a call hashed, by what it opened in the store after it had marked. */
async function hashedBy(volume: Volume, scrubBytes: number): Promise<string[]> {
  const opened: string[] = []
  const folder = join(volume.layout.blobs, 'sha256')
  injectFault((operation, path) => {
    if (operation === 'read' && path.startsWith(folder)) opened.push(path.slice(folder.length + 1))
  })
  await rm(volume.layout.artifacts, { recursive: true, force: true })
  const emit = (event: { event: string }): void => {
    // What the mark has read is not the scrub's.
    if (event.event === 'retention-planned') opened.length = 0
  }
  await clean(volume, { sweepAfter: 1e9 }, { scrubBytes, emit })
  injectFault(undefined)
  return [...new Set(opened)].sort()
}

describe('the scrub', () => {
  it('moves a damaged blob away, says which artifacts it hit, and the next store writes it anew', async () => {
    const volume = await newVolume()
    const tree = await makeTree({ big: Buffer.alloc(3_000_000, 'big'), small: 's' })
    await store(volume, tree)
    await store(volume, tree, { output: 'same' })
    const blobs = await blobsOf(volume)
    const sizes = await Promise.all(
      blobs.map(async (hex) => (await readFile(volume.layout.blob(hex))).length),
    )
    const big = blobs[sizes.indexOf(3_000_000)]!
    await damage(volume, big)
    const { damaged, events } = await scrubbed(volume)
    expect(damaged).toEqual([`sha256:${big}`])
    const [moved] = await readdir(volume.layout.quarantine)
    const uri = `workspace://${volume.id}/uid-run-1/build`
    expect(events).toContainEqual({
      event: 'blob-damaged',
      digest: `sha256:${big}`,
      path: `store/quarantine/${moved}`,
      artifacts: [`${uri}/out`, `${uri}/same`],
    })
    expect(moved).toMatch(new RegExp(`^${big}\\.`))
    expect(await codeOf(retrieve(volume, join(await newFolder(), 't')))).toBe('ARTIFACT_NOT_FOUND')
    await store(volume, tree, { output: 'again' })
    const target = join(await newFolder(), 't')
    await retrieve(volume, target)
    expect(await readTree(target)).toEqual(await readTree(tree))
    expect(await scrubbed(volume)).toMatchObject({ damaged: [], unreadable: 0 })
  })

  it('goes on where the last call ended, round and round, within its budget', async () => {
    const volume = await newVolume()
    for (let n = 0; n < 3; n++)
      await store(volume, await makeTree({ file: `content ${n}` }), { output: `o${n}` })
    const blobs = await blobsOf(volume)
    const size = Math.max(
      ...(await Promise.all(blobs.map(async (hex) => (await readFile(volume.layout.blob(hex))).length))),
    )
    const seen: string[] = []
    for (let n = 0; seen.length < blobs.length; n++) {
      expect(n).toBeLessThan(blobs.length)
      const hashed = await hashedBy(volume, size)
      expect(hashed.length).toBeGreaterThan(0)
      expect(hashed.length).toBeLessThan(blobs.length)
      seen.push(...hashed)
    }
    expect(seen.slice(0, blobs.length)).toEqual(blobs)
    // A budget for all takes each blob once, wherever it begins; one smaller than any blob takes one.
    expect(await hashedBy(volume, ALL)).toEqual(blobs)
    expect(await hashedBy(volume, 1)).toHaveLength(1)
    expect(await hashedBy(volume, 0)).toEqual([])
    expect(await readdir(volume.layout.scrubs)).toHaveLength(1)
  })

  it('leaves what cannot be read where it is, and goes on', async () => {
    const volume = await newVolume()
    await store(volume, await makeTree({ a: 'a' }))
    const blobs = await blobsOf(volume)
    const manifest = /sha256:([0-9a-f]{64})/.exec(
      await readFile(join(outputFolder(volume), '0.0/index.json'), 'utf8'),
    )![1]!
    const bad = blobs.find((hex) => hex !== manifest)!
    injectFault((operation, path) => {
      if (operation === 'read' && path.endsWith(bad)) throw Object.assign(new Error('EIO'), { code: 'EIO' })
    })
    const { damaged, unreadable, blocked } = await scrubbed(volume)
    expect({ damaged, unreadable, blocked }).toEqual({ damaged: [], unreadable: 1, blocked: 1 })
    expect(await blobsOf(volume)).toEqual(blobs)
  })

  it('puts back what was good after all', async () => {
    const volume = await newVolume()
    await store(volume, await makeTree({ a: 'a' }))
    const blobs = await blobsOf(volume)
    const good = await readFile(volume.layout.blob(blobs[1]!))
    await damage(volume, blobs[1]!)
    // Between its look and its move another call moves the bad one away, and a task stores the content again.
    injectFault(async (operation, path) => {
      if (operation !== 'rename' || !path.includes('/quarantine/')) return
      await rm(volume.layout.blob(blobs[1]!))
      await writeFile(volume.layout.blob(blobs[1]!), good)
    })
    expect((await scrubbed(volume)).damaged).toEqual([])
    expect(await blobsOf(volume)).toEqual(blobs)
    expect(await readdir(volume.layout.quarantine)).toEqual([])
    expect(await readFile(volume.layout.blob(blobs[1]!))).toEqual(good)
  })

  it('of a dry run only tells what it would hash', async () => {
    const volume = await newVolume()
    await store(volume, await makeTree({ a: 'a' }))
    for (const hex of await blobsOf(volume)) await damage(volume, hex)
    const dry = await clean(volume, {}, { scrubBytes: ALL, dryRun: true })
    expect(dry.planned['scrub']).toEqual(['store/blobs'])
    expect(dry.damaged).toEqual([])
    expect(await blobsOf(volume)).toHaveLength(3)
  })

  it('by two at once finds a damaged blob once or twice, and moves it once', async () => {
    const volume = await newVolume()
    await store(volume, await makeTree({ a: 'a' }))
    const [hex] = await blobsOf(volume)
    await damage(volume, hex!)
    const both = await Promise.all([scrubbed(volume), scrubbed(volume)])
    expect(both.flatMap(({ damaged }) => damaged)).toContain(`sha256:${hex}`)
    expect(both.map(({ unreadable }) => unreadable)).toEqual([0, 0])
    expect(await readdir(volume.layout.quarantine)).toHaveLength(1)
  })

  it('on a full disk hashes all the same, and still says what is damaged', async () => {
    const volume = await newVolume()
    await store(volume, await makeTree({ a: 'a' }))
    const [hex] = await blobsOf(volume)
    await damage(volume, hex!)
    injectFault((operation) => {
      if (['write', 'mkdir', 'link'].includes(operation))
        throw Object.assign(new Error('full'), { code: 'ENOSPC' })
    })
    const { damaged, events } = await scrubbed(volume)
    expect(damaged).toEqual([`sha256:${hex}`])
    expect(events).toContainEqual(
      expect.objectContaining({ event: 'blob-damaged', path: `store/blobs/sha256/${hex}` }),
    )
    injectFault(undefined)
    await scrubbed(volume)
    expect(await readdir(volume.layout.quarantine)).toHaveLength(1)
  })
})
