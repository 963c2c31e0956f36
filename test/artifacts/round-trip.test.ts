import { chmod, cp, link, mkdir, mkdtemp, open, stat, symlink, utimes, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import * as fc from 'fast-check'
import { describe, expect, it, onTestFinished } from 'vitest'
import { contentDigestOf } from '../../src/artifacts/index.ts'
import { assume } from '../../src/platform/files.ts'
import { ensureVolume } from '../../src/volume/volume.ts'
import {
  asUser,
  identity,
  makeTree,
  newFolder,
  newVolume,
  outputFolder,
  readTree,
  retrieve,
  store,
} from './support.ts'

const MiB = 1024 * 1024

interface Node {
  path: string
  mode: number
  size: number
  seed: number
  kind: 'file' | 'dir' | 'symlink'
}

const name = fc
  .string({ unit: 'grapheme', minLength: 1, maxLength: 20 })
  .filter((text) => !/[/\0]/.test(text) && text !== '.' && text !== '..' && Buffer.byteLength(text) <= 255)
  .filter((text) => text.isWellFormed())
const size = fc.oneof(
  { weight: 8, arbitrary: fc.constantFrom(0, 1, 511, 512, 513, 4096) },
  { weight: 1, arbitrary: fc.constantFrom(MiB - 1, MiB, MiB + 1, MiB - 512) },
)
const node = fc.record<Node>({
  path: fc.array(name, { minLength: 1, maxLength: 4 }).map((names) => names.join('/')),
  // The owner must be able to read what is stored.
  mode: fc.integer({ min: 0, max: 0o777 }).map((bits) => bits | 0o400),
  size,
  seed: fc.nat(255),
  kind: fc.constantFrom('file', 'file', 'file', 'dir', 'symlink'),
})

/** Makes what can be made of the nodes; names that clash with earlier ones are left out. */
async function materialise(nodes: readonly Node[]): Promise<string> {
  const root = await newFolder()
  const modes: [string, number][] = []
  for (const { path, mode, size: bytes, seed, kind } of nodes) {
    const at = join(root, path)
    try {
      await mkdir(kind === 'dir' ? at : dirname(at), { recursive: true })
      if (kind === 'file') await writeFile(at, Buffer.alloc(bytes, seed), { flag: 'wx' })
      if (kind === 'symlink') await symlink(seed % 2 ? 'nowhere/below' : `./${'x'.repeat(1 + seed)}`, at)
      if (kind !== 'symlink') modes.push([at, kind === 'dir' ? mode | 0o700 : mode])
    } catch (error) {
      if (!['EEXIST', 'ENOTDIR', 'ENOENT'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error
    }
  }
  for (const [at, mode] of modes.toReversed()) await chmod(at, mode)
  return root
}

describe('an artifact', () => {
  it.each([
    ['here', 40],
    ['over a network', 15],
  ])('comes back exactly as it was stored, whatever the tree (%s)', async (place, numRuns) => {
    assume(place === 'here' ? undefined : 'elsewhere')
    onTestFinished(() => assume(undefined))
    const volume = await newVolume()
    let n = 0
    const roundTrip = async (nodes: Node[]): Promise<void> => {
      const source = await materialise(nodes)
      const output = `out-${n++}`
      const stored = await store(volume, source, { output })
      const target = join(await newFolder(), 'target')
      await retrieve(volume, target, { artifacts: [`build/${output}@${stored.digest}`] })
      expect(await readTree(target)).toEqual(await readTree(source))
      // Into a folder that exists it goes another way, by the journal.
      const existing = await newFolder()
      await retrieve(volume, existing, { artifacts: [`build/${output}`] })
      expect(await readTree(existing)).toEqual(await readTree(source))
    }
    await fc.assert(fc.asyncProperty(fc.array(node, { maxLength: 25 }), roundTrip), { numRuns })
  })

  it('keeps names of 255 bytes, of spaces, newlines, quotes and every script', async () => {
    const names = [
      'é'.repeat(127),
      'a'.repeat(255),
      '語'.repeat(85),
      ' ',
      'new\nline',
      '"quoted\'',
      '-rf',
      '\u{1F600}',
      '￿',
    ]
    const source = await makeTree(
      Object.fromEntries(names.map((text) => [join('ñ'.repeat(120), text), text])),
    )
    const volume = await newVolume()
    await store(volume, source)
    const target = join(await newFolder(), 'target')
    await retrieve(volume, target)
    expect(await readTree(target)).toEqual(await readTree(source))
  })

  it('keeps empty folders, an empty tree, hard links as copies and the content of sparse files', async () => {
    const volume = await newVolume()
    const source = await makeTree({ 'empty/deep': null, one: 'twice' })
    await link(join(source, 'one'), join(source, 'two'))
    const sparse = await open(join(source, 'sparse'), 'w')
    await sparse.truncate(3 * MiB)
    await sparse.write('end', 3 * MiB - 3)
    await sparse.close()
    await store(volume, source)
    await store(volume, await newFolder(), { output: 'nothing' })
    const target = join(await newFolder(), 'target')
    await retrieve(volume, target)
    expect(await readTree(target)).toEqual(await readTree(source))
    const nothing = join(await newFolder(), 'target')
    expect(await retrieve(volume, nothing, { artifacts: ['build/nothing'] })).toMatchObject({ files: 0 })
    expect(await readTree(nothing)).toEqual({})
  })

  it('of a single file holds it under its own name', async () => {
    const volume = await newVolume()
    const source = await makeTree({ 'tool*': 'run me' })
    expect(await store(volume, join(source, 'tool'))).toMatchObject({ files: 1, bytes: 6 })
    const target = join(await newFolder(), 'target')
    await retrieve(volume, target)
    expect(await readTree(target)).toEqual(await readTree(source))
  })

  it('has one digest for one content: other times, another place, another run, another umask', async () => {
    const volume = await newVolume()
    const source = await makeTree({
      'a/b': 'one',
      'a/c*': 'two',
      big: Buffer.alloc(2 * MiB, 7),
      l: { link: 'a/b' },
      e: null,
    })
    const copy = join(await newFolder(), 'copy')
    await cp(source, copy, { recursive: true, verbatimSymlinks: true })
    await utimes(join(copy, 'a/b'), 1, 1)
    const first = await store(volume, source)
    const second = await store(await newVolume(), copy, { identity: identity({ run: 'other', pod: 'else' }) })
    expect(second.digest).toBe(first.digest)
    expect(await contentDigestOf(copy)).toBe(await contentDigestOf(source))
    await chmod(join(copy, 'a/b'), 0o600)
    expect(await contentDigestOf(copy)).toBe(await contentDigestOf(source))
    await chmod(join(copy, 'a/b'), 0o744)
    expect(await contentDigestOf(copy)).not.toBe(await contentDigestOf(source))
  })

  it.each([0o077, 0o022, 0])(
    'keeps modes and read-only folders between users, under umask %o',
    async (umask) => {
      const folder = await newFolder()
      const [source, volume] = await asUser(65532, umask, async () => {
        const made = await makeTree({ 'locked/deep/file*': 'x', 'open/file': 'y' }, join(folder, 'source'))
        await chmod(join(made, 'open/file'), 0o666)
        await chmod(join(made, 'open'), 0o777)
        for (const path of ['locked/deep', 'locked', '.']) await chmod(join(made, path), 0o555)
        const root = join(folder, 'volume')
        await mkdir(root)
        await chmod(root, 0o2775)
        const ready = await ensureVolume(root, () => {})
        await store(ready, made)
        return [made, ready]
      })
      await asUser(12345, umask, async () => {
        const own = await mkdtemp(join(folder, 'target-'))
        for (const target of [own, join(own, 'new')]) await retrieve(volume, target)
        expect(await readTree(join(own, 'new'))).toEqual(await readTree(source))
        expect(await readTree(join(own, 'locked'))).toEqual(await readTree(join(source, 'locked')))
        // And this user's own artifacts go to the folders that the other one made.
        await store(volume, own, { output: 'second' })
      })
      expect((await stat(join(outputFolder(volume), '0.1'))).mode & 0o444).toBe(0o444)
    },
  )
})
