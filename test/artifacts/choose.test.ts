/** What is taken of artifacts: names stripped, conflicts decided, one file printed. */
import { chmod, readFile, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { readOneFile } from '../../src/artifacts/index.ts'
import { opened } from '../../src/stores/open.ts'
import { volumeArtifacts } from '../../src/stores/volume-artifacts.ts'
import type { Volume } from '../../src/volume/volume.ts'
import {
  contentsOf,
  identity,
  makeTree,
  newFolder,
  newVolume,
  readTree,
  retrieve,
  store,
  type Tree,
} from './support.ts'

const newTarget = async (): Promise<string> => join(await newFolder(), 'target')

async function volumeWith(...trees: Tree[]): Promise<Volume> {
  const volume = await newVolume()
  for (const [n, tree] of trees.entries()) await store(volume, await makeTree(tree), { output: `out-${n}` })
  return volume
}

const all = (count: number): string[] => Array.from({ length: count }, (_, n) => `build/out-${n}`)

describe('strip', () => {
  const tree = { 'pkg/bin/tool*': 'binary', 'pkg/README': 'read', 'pkg/empty': null, top: 't' }

  it.each([
    [0, ['pkg', 'pkg/README', 'pkg/bin', 'pkg/bin/tool', 'pkg/empty', 'top']],
    [1, ['README', 'bin', 'bin/tool', 'empty']],
    [2, ['tool']],
    [3, []],
  ])('takes %i names off each path, and leaves out what has no more', async (strip, expected) => {
    const volume = await volumeWith(tree)
    const target = await newTarget()
    await retrieve(volume, target, { artifacts: all(1), strip })
    expect(await contentsOf(target).catch(() => [])).toEqual(expected)
  })

  it('keeps modes and content', async () => {
    const volume = await volumeWith(tree)
    const target = await newTarget()
    await retrieve(volume, target, { artifacts: all(1), strip: 2, files: ['pkg/bin/**'] })
    expect(await readTree(target)).toEqual({ tool: `file 755 ${Buffer.from('binary').toString('base64')}` })
  })

  it('refuses two files that get one path, and symlinks that would lead out from there', async () => {
    const twice = await volumeWith({ 'a/same': '1', 'b/same': '2' })
    await expect(retrieve(twice, await newTarget(), { artifacts: all(1), strip: 1 })).rejects.toMatchObject({
      code: 'TARGET_CONFLICT',
    })
    const up = await volumeWith({ 'a/link': { link: '../b' }, b: 'x' })
    await expect(retrieve(up, await newTarget(), { artifacts: all(1), strip: 1 })).rejects.toMatchObject({
      code: 'UNSAFE_PATH',
    })
  })
})

describe('conflicts', () => {
  it.each([
    ['first', 'one', '1'],
    ['last', 'two', '2'],
  ] as const)('lets the %s artifact win', async (conflicts, text, only) => {
    const volume = await volumeWith(
      { same: 'one', 'only-1': '1', 'dir/a': 'one' },
      { same: 'two', 'only-2': '2', 'dir/a': 'two' },
    )
    const target = await newTarget()
    await retrieve(volume, target, { artifacts: all(2), conflicts })
    expect(await contentsOf(target)).toEqual(['dir', 'dir/a', 'only-1', 'only-2', 'same'])
    expect(await readFile(join(target, 'same'), 'utf8')).toBe(text)
    expect(await readFile(join(target, 'dir/a'), 'utf8')).toBe(text)
    expect(await readFile(join(target, `only-${only}`), 'utf8')).toBe(only)
  })

  it.each([
    ['first', ['a']],
    ['last', ['a', 'a/b', 'a/c', 'a/c/d']],
  ] as const)('between a file and a folder: the %s takes all that is below', async (conflicts, expected) => {
    const volume = await volumeWith({ a: 'file' }, { 'a/b': 'x', 'a/c/d': 'y' })
    const target = await newTarget()
    await retrieve(volume, target, { artifacts: all(2), conflicts })
    expect(await contentsOf(target)).toEqual(expected)
  })

  it('never concern what the target holds', async () => {
    const volume = await volumeWith({ same: 'one' }, { same: 'two' })
    const target = await makeTree({ same: 'mine' })
    for (const conflicts of ['first', 'last'] as const) {
      const retrieving = retrieve(volume, target, { artifacts: all(2), conflicts })
      await expect(retrieving).rejects.toMatchObject({ code: 'TARGET_CONFLICT' })
    }
    expect(await readFile(join(target, 'same'), 'utf8')).toBe('mine')
  })
})

describe('one file', () => {
  async function read(volume: Volume, files: string[], artifacts = all(1)) {
    const chunks: Uint8Array[] = []
    const wanted = { artifacts, run: '', files, strip: 0, conflicts: 'fail' as const, optional: false }
    const asking = { stores: [opened(volumeArtifacts(volume))], identity: identity(), emit: () => {} }
    const result = await readOneFile({ ...wanted, ...asking }, async (chunk) => void chunks.push(chunk))
    return { ...result, content: Buffer.concat(chunks) }
  }

  it('is read from a pack, and as a blob of its own', async () => {
    const large = Buffer.alloc(3_000_000, 'large ')
    const volume = await volumeWith({ 'dir/small': 'small', large, empty: '' })
    expect((await read(volume, ['dir/small'])).content.toString()).toBe('small')
    expect((await read(volume, ['large'])).content.equals(large)).toBe(true)
    expect(await read(volume, ['empty'])).toMatchObject({ files: 1, content: Buffer.alloc(0) })
  })

  it.each([[['dir/*']], [['dir']], [[]]])('is refused where %j matches another number', async (files) => {
    const volume = await volumeWith({ 'dir/a': '1', 'dir/b': '2' })
    await expect(read(volume, files)).rejects.toMatchObject({ code: 'TARGET_CONFLICT' })
  })

  it('that is damaged gives nothing', async () => {
    const volume = await volumeWith({ large: Buffer.alloc(3_000_000, 'large ') })
    const blobs = join(volume.layout.blobs, 'sha256')
    for (const name of await readdir(blobs)) {
      const content = await readFile(join(blobs, name))
      if (content.length !== 3_000_000) continue
      await chmod(join(blobs, name), 0o644)
      await writeFile(join(blobs, name), content.fill('X', 2_999_999))
    }
    const chunks: Uint8Array[] = []
    const wanted = {
      artifacts: all(1),
      run: '',
      files: [],
      strip: 0,
      conflicts: 'fail' as const,
      optional: false,
    }
    const asking = { stores: [opened(volumeArtifacts(volume))], identity: identity(), emit: () => {} }
    const reading = readOneFile({ ...wanted, ...asking }, async (chunk) => void chunks.push(chunk))
    await expect(reading).rejects.toMatchObject({ code: 'DIGEST_MISMATCH' })
    expect(chunks).toEqual([])
  })
})
