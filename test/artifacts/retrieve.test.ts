import { chmod, mkdir, readdir, readFile, stat, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { injectFault } from '../../src/platform/fs.ts'
import type { Volume } from '../../src/volume/volume.ts'
import {
  codeOf,
  collect,
  contentsOf,
  identity,
  makeTree,
  newFolder,
  newVolume,
  outputFolder,
  readTree,
  retrieve,
  RUN_ID,
  store,
  temporaries,
  type Tree,
} from './support.ts'

/** A volume where build/out of run-1 holds `tree`. */
async function volumeWith(tree: Tree): Promise<{ volume: Volume; uri: string; digest: string }> {
  const volume = await newVolume()
  return { volume, ...(await store(volume, await makeTree(tree))) }
}

const newTarget = async (): Promise<string> => join(await newFolder(), 'target')

describe('a reference', () => {
  it('names an output of this run, of a run by its id or its name, or is a whole uri', async () => {
    const { volume, uri, digest } = await volumeWith({ file: 'x' })
    await mkdir(join(volume.layout.root, 'by-name'))
    await symlink(`../pipelines/${RUN_ID}`, volume.layout.byName('ns', 'run.one'))
    const other = identity({ run: 'other', task: 'use' })
    const artifacts = [{ uri, digest, strategy: 'pvc' }]
    const from = async (reference: string, run: string) =>
      (await retrieve(volume, await newTarget(), { identity: other, artifacts: [reference], run })).artifacts
    expect(await from('build/out', RUN_ID)).toEqual(artifacts)
    expect(await from('build/out', 'run.one')).toEqual(artifacts)
    expect(await from('build/out', 'ns.run.one')).toEqual(artifacts)
    expect(await from(uri, '')).toEqual(artifacts)
    expect(await from(`${uri}@${digest}`, '')).toEqual(artifacts)
    await expect(from('build/out', '')).rejects.toMatchObject({ code: 'ARTIFACT_NOT_FOUND' })
    await expect(from('build/out', 'nobody')).rejects.toMatchObject({ code: 'RUN_NOT_FOUND' })
  })

  it.each([
    ['out', 'USAGE'],
    ['a/b/c', 'USAGE'],
    ['build/out@sha256:123', 'USAGE'],
    ['build/out@', 'USAGE'],
    ['https://host/build/out', 'USAGE'],
    ['build/..', 'UNSAFE_PATH'],
    ['../../etc', 'UNSAFE_PATH'],
    ['workspace://v/../build/out', 'UNSAFE_PATH'],
    ['build/.hidden', 'UNSAFE_PATH'],
  ])('%s is refused as %s', async (reference, code) => {
    const { volume } = await volumeWith({ file: 'x' })
    const target = await newTarget()
    await expect(retrieve(volume, target, { artifacts: [reference] })).rejects.toMatchObject({ code })
  })

  it('refuses a run that is no name', async () => {
    const { volume } = await volumeWith({ file: 'x' })
    const retrieving = retrieve(volume, await newTarget(), { run: '../x' })
    await expect(retrieving).rejects.toMatchObject({ code: 'UNSAFE_PATH' })
  })

  it('to another volume says which this one is', async () => {
    const { volume } = await volumeWith({ file: 'x' })
    const retrieving = retrieve(volume, await newTarget(), {
      artifacts: [`workspace://elsewhere/${RUN_ID}/build/out`],
    })
    await expect(retrieving).rejects.toMatchObject({ code: 'USAGE', expected: `workspace://${volume.id}` })
  })

  it('with a digest finds that version among all, and says what there is where it does not', async () => {
    const { volume, digest } = await volumeWith({ file: 'first' })
    const newest = await store(volume, await makeTree({ file: 'second' }), { overwrite: true })
    const target = await newTarget()
    await retrieve(volume, target, { artifacts: [`build/out@${digest}`] })
    expect(await readFile(join(target, 'file'), 'utf8')).toBe('first')
    const wrong = `sha256:${'0'.repeat(64)}`
    const retrieving = retrieve(volume, await newTarget(), { artifacts: [`build/out@${wrong}`] })
    const found = `${newest.digest}, ${digest}`
    await expect(retrieving).rejects.toMatchObject({ code: 'DIGEST_MISMATCH', expected: wrong, found })
  })

  it('without a digest means the newest, and the log says which', async () => {
    const { volume, uri } = await volumeWith({ file: 'first' })
    const { digest } = await store(volume, await makeTree({ file: 'second' }), { overwrite: true })
    const { emit, events } = collect()
    const target = await newTarget()
    await retrieve(volume, target, { emit })
    expect(events).toEqual([
      { event: 'artifact-unpinned', uri, digest },
      { event: 'artifact-retrieved', uri, digest, files: 1, bytes: 6, path: target },
    ])
    const pinned = collect()
    await retrieve(volume, target, { emit: pinned.emit, artifacts: [`${uri}@${digest}`] })
    expect(pinned.events.map(({ event }) => event)).toEqual(['artifact-retrieved'])
  })

  it('to what was not stored is an error, or skipped where it is optional', async () => {
    const { volume } = await volumeWith({ file: 'x' })
    const target = await newTarget()
    const missing = { artifacts: ['skipped/out'] }
    await expect(retrieve(volume, target, missing)).rejects.toMatchObject({ code: 'ARTIFACT_NOT_FOUND' })
    const { emit, events } = collect()
    expect(await retrieve(volume, target, { ...missing, optional: true, emit })).toEqual({
      artifacts: [],
      files: 0,
    })
    expect(events).toMatchObject([{ event: 'artifact-skipped' }])
    expect(await readdir(join(target, '..'))).toEqual([])
    const both = { artifacts: ['skipped/out', 'build/out'], optional: true }
    expect(await retrieve(volume, target, both)).toMatchObject({ files: 1 })
    // Asking for an output does not make its folder.
    expect(await readdir(volume.layout.artifacts + `/${RUN_ID}`)).toEqual(['build'])
  })
})

describe('the parameter files', () => {
  const tree = {
    'bin/tool*': 't',
    'lib/a.jar': 'a',
    'lib/deep/b.jar': 'b',
    'lib/.hidden': 'h',
    README: 'r',
    none: null,
  }
  const retrieved = async (...files: string[]): Promise<string[]> => {
    const { volume } = await volumeWith(tree)
    const target = await newTarget()
    await retrieve(volume, target, { files })
    return contentsOf(target)
  }

  it('picks by globs on whole paths, with the folders they are in', async () => {
    expect(await retrieved('**/*.jar')).toEqual(['lib', 'lib/a.jar', 'lib/deep', 'lib/deep/b.jar'])
    expect(await retrieved('bin/**', 'README')).toEqual(['README', 'bin', 'bin/tool'])
    expect(await retrieved('lib/*')).toEqual(['lib', 'lib/.hidden', 'lib/a.jar', 'lib/deep'])
  })

  it('that match nothing are an error', async () => {
    await expect(retrieved('*.zip')).rejects.toMatchObject({ code: 'ARTIFACT_NOT_FOUND', expected: '*.zip' })
  })

  it('reads only the frames that hold what was picked', async () => {
    const files = Array.from({ length: 8 }, (_, n) => [
      `f${n}`,
      Buffer.alloc(1_000_000, `${n} and some text `),
    ])
    const { volume } = await volumeWith(Object.fromEntries(files))
    const blobs = join(volume.layout.blobs, 'sha256')
    const sizes = await Promise.all(
      (await readdir(blobs)).map(async (name) => (await stat(join(blobs, name))).size),
    )
    const pack = (await readdir(blobs))[sizes.indexOf(Math.max(...sizes))]!
    // Damage in the frames of other files does not matter, as they are never looked at.
    const content = await readFile(join(blobs, pack))
    await chmod(join(blobs, pack), 0o644)
    await writeFile(join(blobs, pack), content.fill(0, Math.floor(content.length / 2)))
    const target = await newTarget()
    await retrieve(volume, target, { files: ['f1'] })
    expect(await readFile(join(target, 'f1'))).toHaveLength(1_000_000)
    await expect(retrieve(volume, target, { files: ['f7'] })).rejects.toMatchObject({
      code: 'DIGEST_MISMATCH',
    })
  })
})

describe('several artifacts', () => {
  const both = { artifacts: ['build/out', 'build/more'] }

  it('become one folder; the same content at one path is fine', async () => {
    const { volume } = await volumeWith({ 'shared/same': 's', 'shared/one': '1' })
    await store(volume, await makeTree({ 'shared/same': 's', 'shared/two': '2', link: { link: 'shared' } }), {
      output: 'more',
    })
    const target = await newTarget()
    const { artifacts, files } = await retrieve(volume, target, both)
    expect(artifacts).toHaveLength(2)
    expect(files).toBe(3)
    expect(await contentsOf(target)).toEqual(['link', 'shared', 'shared/one', 'shared/same', 'shared/two'])
  })

  it.each<[string, Tree, Tree]>([
    ['two files', { a: '1' }, { a: '2' }],
    ['a file and a folder', { a: '1' }, { 'a/b': '1' }],
    ['a file and an executable', { a: '1' }, { 'a*': '1' }],
    ['two symlinks', { a: { link: 'x' } }, { a: { link: 'y' } }],
  ])('with %s at one path are a conflict, and nothing is written', async (_, one, two) => {
    const { volume } = await volumeWith(one)
    await store(volume, await makeTree(two), { output: 'more' })
    const target = await newTarget()
    await expect(retrieve(volume, target, both)).rejects.toMatchObject({ code: 'TARGET_CONFLICT' })
    expect(await readdir(join(target, '..'))).toEqual([])
  })

  it('whose symlinks lead out only together are refused', async () => {
    const { volume } = await volumeWith({ 'p/q/up': { link: '../..' } })
    await store(volume, await makeTree({ out: { link: 'p/q/up/../secret' } }), { output: 'more' })
    await expect(retrieve(volume, await newTarget(), both)).rejects.toMatchObject({ code: 'UNSAFE_PATH' })
  })
})

describe('a target that exists', () => {
  it('keeps what it holds and gets what it lacks', async () => {
    const { volume } = await volumeWith({
      'dir/new*': 'n',
      'dir/same': 's',
      'fresh/deep': 'd',
      l: { link: 'dir' },
      e: null,
    })
    const target = await makeTree({ 'dir/same': 's', mine: 'm' })
    await chmod(join(target, 'dir'), 0o711)
    const before = await stat(join(target, 'dir/same'))
    expect(await retrieve(volume, target)).toMatchObject({ files: 3 })
    expect(await readTree(target)).toMatchObject({
      dir: 'dir 711',
      l: '-> dir',
      'dir/new': expect.stringMatching(/^file 755/),
    })
    expect(await contentsOf(target)).toEqual([
      'dir',
      'dir/new',
      'dir/same',
      'e',
      'fresh',
      'fresh/deep',
      'l',
      'mine',
    ])
    expect((await stat(join(target, 'dir/same'))).ino).toBe(before.ino)
    expect(await retrieve(volume, target)).toMatchObject({ files: 3 })
  })

  it.each<[string, Tree, string]>([
    ['another file', { 'dir/a': 'other' }, 'dir/a'],
    ['a file that is executable', { 'dir/a*': 'content' }, 'dir/a'],
    ['a folder', { 'dir/a': null }, 'dir/a'],
    ['a symlink, even to the same content', { 'dir/a': { link: '../b' }, b: 'content' }, 'dir/a'],
    ['a file in the place of a folder', { dir: 'x' }, 'dir'],
    ['a symlink to a folder inside', { dir: { link: 'elsewhere' }, elsewhere: null }, 'dir'],
    ['another symlink', { link: { link: 'b' } }, 'link'],
  ])('with %s where something is to be written is left as it is', async (_, tree, path) => {
    const { volume } = await volumeWith({ aaa: 'first', 'dir/a': 'content', link: { link: 'dir' } })
    const target = await makeTree(tree)
    const before = await readTree(target)
    const retrieving = retrieve(volume, target)
    await expect(retrieving).rejects.toMatchObject({
      code: 'TARGET_CONFLICT',
      found: expect.stringContaining(path),
    })
    expect(await readTree(target)).toEqual(before)
  })

  it('with a symlink that leads out of it is refused, and nothing is written through it', async () => {
    const { volume } = await volumeWith({ 'dir/a': 'content' })
    const outside = await newFolder()
    const target = await makeTree({ dir: { link: outside } })
    await expect(retrieve(volume, target)).rejects.toMatchObject({ code: 'UNSAFE_PATH' })
    expect(await readdir(outside)).toEqual([])
  })

  it('as a file or a dangling symlink is a conflict', async () => {
    const { volume } = await volumeWith({ file: 'x' })
    const folder = await makeTree({ file: 'mine', gone: { link: 'nowhere' } })
    await expect(retrieve(volume, join(folder, 'file'))).rejects.toMatchObject({ code: 'TARGET_CONFLICT' })
    await expect(retrieve(volume, join(folder, 'gone'))).rejects.toMatchObject({ code: 'TARGET_CONFLICT' })
    await expect(retrieve(volume, join(folder, 'file/below'))).rejects.toMatchObject({
      code: 'TARGET_CONFLICT',
    })
    expect(await readFile(join(folder, 'file'), 'utf8')).toBe('mine')
  })

  it('as a symlink to a folder is that folder', async () => {
    const { volume } = await volumeWith({ file: 'x' })
    const folder = await makeTree({ real: null, alias: { link: 'real' } })
    await retrieve(volume, join(folder, 'alias'))
    expect(await contentsOf(join(folder, 'real'))).toEqual(['file'])
  })

  it('gets the same from two retrievals at once', async () => {
    const files = Object.fromEntries(Array.from({ length: 50 }, (_, n) => [`dir-${n % 5}/file-${n}`, `${n}`]))
    const { volume } = await volumeWith(files)
    for (const target of [await newFolder(), await newTarget()]) {
      await Promise.all([retrieve(volume, target), retrieve(volume, target), retrieve(volume, target)])
      expect((await contentsOf(target)).length).toBe(55)
    }
  })
})

describe('a retrieval that fails', () => {
  afterEach(() => injectFault(undefined))

  it.each([
    ['write', 'ENOSPC'],
    ['mkdir', 'ENOSPC'],
    ['open', 'EROFS'],
  ] as const)('at %s with %s leaves the target as it was', async (broken, code) => {
    const { volume } = await volumeWith({ 'dir/a': 'content', 'big.bin': Buffer.alloc(2_000_000) })
    const [target, existing] = [await newTarget(), await makeTree({ mine: 'm' })]
    // So that the seal is there, which is written first.
    await retrieve(volume, await newTarget())
    for (const at of [target, existing]) {
      injectFault((operation, path) => {
        const ours = path.startsWith(join(at, '..', '.tmp-')) || path.startsWith(at)
        if (operation === broken && ours) throw Object.assign(new Error(code), { code })
      })
      await expect(retrieve(volume, at)).rejects.toMatchObject({ code })
      injectFault(undefined)
    }
    expect(await readdir(join(target, '..'))).toEqual([])
    expect(await readTree(existing)).toEqual({ mine: expect.anything() })
  })

  it('because it was told to stop leaves the target as it was', async () => {
    const { volume } = await volumeWith({ 'big.bin': Buffer.alloc(8_000_000), small: 's' })
    const stop = new AbortController()
    const existing = await newFolder()
    injectFault((operation, path) => {
      if (operation === 'write' && path.startsWith(existing)) stop.abort(new Error('stopped'))
    })
    await expect(retrieve(volume, existing, { signal: stop.signal })).rejects.toThrow('stopped')
    expect(await readdir(existing)).toEqual([])
  })
})

describe('a seal', () => {
  afterEach(() => injectFault(undefined))

  it('is made by the first retrieval only', async () => {
    const { volume } = await volumeWith({ file: 'x' })
    for (let n = 0; n < 3; n++) await retrieve(volume, await newTarget())
    expect(await readdir(outputFolder(volume))).toEqual(['0.0', '0.1'])
    const seal = join(outputFolder(volume), '0.1')
    expect(JSON.parse(await readFile(seal, 'utf8')).by).toMatchObject({
      'vnd.tekton-shared-workspace.task': 'use',
    })
  })

  it('is not made by a retrieval that fails to find its digest, or that means an older version', async () => {
    const { volume, digest } = await volumeWith({ file: 'first' })
    await store(volume, await makeTree({ file: 'second' }), { overwrite: true })
    const wrong = `build/out@sha256:${'0'.repeat(64)}`
    expect(await codeOf(retrieve(volume, await newTarget(), { artifacts: [wrong] }))).toBe('DIGEST_MISMATCH')
    await retrieve(volume, await newTarget(), { artifacts: [`build/out@${digest}`] })
    expect(await readdir(outputFolder(volume))).toEqual(['0.0', '0.1'])
  })

  it.each(['EROFS', 'EACCES'])(
    'that cannot be made (%s) is a warning, and the artifact is retrieved',
    async (code) => {
      const { volume } = await volumeWith({ file: 'x' })
      injectFault((operation, path) => {
        const writes = ['open', 'mkdir', 'link', 'unlink'].includes(operation) && path.includes('.tmp-')
        if (writes && path.startsWith(volume.layout.artifacts)) throw Object.assign(new Error(code), { code })
      })
      const { emit, events } = collect()
      expect(await retrieve(volume, await newTarget(), { emit })).toMatchObject({ files: 1 })
      expect(events).toMatchObject([
        { event: 'warning' },
        { event: 'artifact-unpinned' },
        { event: 'artifact-retrieved' },
      ])
      expect(await temporaries(volume.layout.root)).toEqual([])
    },
  )
})
