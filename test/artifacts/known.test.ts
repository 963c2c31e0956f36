import { chmod, readdir, readFile, rename, rm, symlink, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import * as fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { assume } from '../../src/platform/files.ts'
import { injectFault } from '../../src/platform/fs.ts'
import type { Volume } from '../../src/volume/volume.ts'
import { makeTree, newFolder, newVolume, readTree, retrieve, store } from './support.ts'

const TREE = {
  'a/one': 'first',
  'a/two': 'other',
  'a/empty': '',
  b: 'third',
  link: { link: 'a/one' },
  large: Buffer.alloc(1_500_000, 7),
}

/** All its files have the same mtime, so that a change can keep it. */
async function tree(): Promise<string> {
  const source = await makeTree(TREE)
  for (const file of ['a/one', 'a/two', 'a/empty', 'b', 'large']) await utimes(join(source, file), 1, 1)
  return source
}

/** Lets files that were just made look as if they had been at rest for as long. */
const later = (seconds: number) => vi.setSystemTime(Date.now() + seconds * 1000)

let n = 0
/** Stores under a name of its own, and says which files of the source were opened for that. */
async function storeAgain(volume: Volume, source: string): Promise<{ digest: string; opened: string[] }> {
  const opened = new Set<string>()
  injectFault((operation, path) => {
    if (operation === 'open' && path.startsWith(`${source}/`)) opened.add(path.slice(source.length + 1))
  })
  const { digest } = await store(volume, source, { output: `out-${n++}` })
  injectFault(undefined)
  return { digest, opened: [...opened].sort() }
}

const digestAnew = async (source: string): Promise<string> => (await store(await newVolume(), source)).digest

beforeEach(() => vi.useFakeTimers({ toFake: ['Date'], now: Date.now() }))
afterEach(() => {
  vi.useRealTimers()
  assume(undefined)
  injectFault(undefined)
})

describe('a tree that was at rest when it was stored', () => {
  it('is not read again, and is what it was', async () => {
    const [volume, source] = [await newVolume(), await tree()]
    later(61)
    const first = await storeAgain(volume, source)
    expect(first.opened).toEqual(['a/empty', 'a/one', 'a/two', 'b', 'large'])
    const second = await storeAgain(volume, source)
    expect(second).toEqual({ digest: first.digest, opened: [] })
    const target = join(await newFolder(), 'target')
    await retrieve(volume, target, { artifacts: [`build/out-${n - 1}`] })
    expect(await readTree(target)).toEqual(await readTree(source))
  })

  it('is read where one was written to a moment before it was stored', async () => {
    const [volume, source] = [await newVolume(), await tree()]
    later(59)
    await storeAgain(volume, source)
    expect((await storeAgain(volume, source)).opened).toHaveLength(5)
    later(60)
    await storeAgain(volume, source)
    expect((await storeAgain(volume, source)).opened).toEqual([])
  })

  it('is read where the file system may not tell of changes', async () => {
    assume('unknown')
    const [volume, source] = [await newVolume(), await tree()]
    later(61)
    await storeAgain(volume, source)
    expect((await storeAgain(volume, source)).opened).toHaveLength(5)
  })

  it('is read where what was noted is damaged, and noted no better', async () => {
    const [volume, source] = [await newVolume(), await tree()]
    later(61)
    const { digest } = await storeAgain(volume, source)
    const notes = await readdir(volume.layout.notes)
    expect(notes).toHaveLength(2)
    for (const [i, damage] of [Buffer.alloc(0), Buffer.alloc(500), undefined].entries()) {
      for (const name of notes) {
        const path = volume.layout.note(name)
        const half = (await readFile(path)).subarray(0, 90)
        await writeFile(path, damage ?? half)
      }
      expect(await storeAgain(volume, source), `damage ${i}`).toMatchObject({
        digest,
        opened: { length: 5 },
      })
    }
  })

  it('is stored again where its blobs are gone', async () => {
    const [volume, source] = [await newVolume(), await tree()]
    later(61)
    const { digest } = await storeAgain(volume, source)
    await rm(join(volume.layout.blobs, 'sha256'), { recursive: true })
    expect(await storeAgain(volume, source)).toMatchObject({ digest, opened: { length: 5 } })
  })

  it('is stored where notes can neither be read nor written', async () => {
    const [volume, source] = [await newVolume(), await tree()]
    later(61)
    injectFault((_, path) => {
      if (path.startsWith(volume.layout.notes)) throw Object.assign(new Error('no'), { code: 'EIO' })
    })
    const { digest } = await store(volume, source)
    expect(digest).toBe(await digestAnew(source))
  })

  it('is looked at by opening it over a network, as a listing may be old', async () => {
    assume('elsewhere')
    const [volume, source] = [await newVolume(), await tree()]
    later(61)
    await storeAgain(volume, source)
    const path = join(source, 'a/two')
    let opens = 0
    injectFault(async (operation, at) => {
      // After the listing, before the look: what the listing said is old then.
      if (operation !== 'open' || at !== path || opens++ > 0) return
      await writeFile(path, 'OTHER', { flag: 'r+' })
      await utimes(path, 1, 1)
    })
    const { digest } = await store(volume, source, { output: 'fresh' })
    injectFault(undefined)
    expect(opens).toBe(2)
    expect(digest).toBe(await digestAnew(source))
  })
})

describe('whatever changes', () => {
  /** Same size and same mtime, where the change is one of content. */
  const rewrite = async (path: string, content: Buffer): Promise<void> => {
    await writeFile(path, content)
    await utimes(path, 1, 1)
  }
  const changes: Record<string, (source: string) => Promise<unknown>> = {
    content: (at) => rewrite(join(at, 'a/one'), Buffer.from('FIRST')),
    'content of a large file': (at) => rewrite(join(at, 'large'), Buffer.alloc(1_500_000, 8)),
    'which file it is': (at) => rename(join(at, 'a/two'), join(at, 'a/one')),
    'two files for each other': async (at) => {
      await rename(join(at, 'a/one'), join(at, 'x'))
      await rename(join(at, 'a/two'), join(at, 'a/one'))
      await rename(join(at, 'x'), join(at, 'a/two'))
    },
    mode: (at) => chmod(join(at, 'b'), 0o755),
    'mode of a folder': (at) => chmod(join(at, 'a'), 0o700),
    'a symlink': async (at) => {
      await rm(join(at, 'link'))
      await symlink('a/two', join(at, 'link'))
    },
    'one more': (at) => writeFile(join(at, 'a/three'), ''),
    'one less': (at) => rm(join(at, 'a/empty')),
  }

  it('is seen', async () => {
    const names = fc.subarray(Object.keys(changes), { minLength: 1, maxLength: 3 })
    await fc.assert(
      fc.asyncProperty(names, fc.constantFrom(undefined, 'elsewhere' as const), async (chosen, place) => {
        assume(place)
        const [volume, source] = [await newVolume(), await tree()]
        later(61)
        await storeAgain(volume, source)
        for (const name of chosen) await changes[name]!(source).catch(() => {})
        later(61)
        for (let round = 0; round < 2; round++)
          expect((await storeAgain(volume, source)).digest).toBe(await digestAnew(source))
      }),
      { numRuns: 15 },
    )
  })
})
