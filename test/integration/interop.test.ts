/** What we store, read and pushed by the tools that everybody has. */
import { randomBytes } from 'node:crypto'
import { mkdir, readFile, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { execa } from 'execa'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { programPath } from '../../hack/programs/programs.ts'
import { makeTree, newFolder, newVolume, outputFolder, readTree, store } from '../artifacts/support.ts'
import { startRegistry } from './support/registry.ts'
import type { Server } from './support/server.ts'

const MiB = 1024 * 1024
const PACK = 'shared-workspace-pack-0000.tar.zst'
const same = Buffer.alloc(MiB, 'same')
const LARGE = {
  'large.bin': randomBytes(3 * MiB),
  'dir/ü large.bin': randomBytes(MiB),
  'twin-1.bin': same,
  'dir/twin-2.bin': same,
}
const SMALL = {
  'a.txt': 'first',
  'dir/tool*': '#!/bin/sh\n',
  'dir/empty': null,
  'dir/link': { link: '../a.txt' },
  'empty-file': '',
}

let registry: Server

beforeAll(async () => {
  registry = await startRegistry()
})
afterAll(() => registry.stop())

// HOME: the registry logins of the one who runs the tests must not take part.
async function run(file: string, args: string[]): Promise<string> {
  const { stdout } = await execa(file, args, { env: { HOME: '/nonexistent' } })
  return stdout
}
const crane = (...args: string[]) => run(programPath('crane'), args)
const oras = (...args: string[]) => run(programPath('oras'), args)

/** An entry on a volume, its blobs in the shared store as ever, with the digest that we say it has. */
async function storedEntry(): Promise<{ entry: string; digest: string; source: string }> {
  const volume = await newVolume()
  const source = await makeTree({ ...SMALL, ...LARGE })
  const { digest } = await store(volume, source)
  // Blobs of another artifact beside it must not be in the way.
  await store(volume, await makeTree({ other: randomBytes(2 * MiB) }), { output: 'other' })
  return { entry: join(outputFolder(volume), '0.0'), digest, source }
}

/** Fails unless the folder holds the large files under their titles, and the packs, and nothing else. */
async function expectLayers(folder: string): Promise<void> {
  for (const [path, bytes] of Object.entries(LARGE))
    expect(bytes.equals(await readFile(join(folder, path)))).toBe(true)
  expect(Object.keys(await readTree(folder))).toEqual(
    [PACK, 'dir', ...Object.keys(LARGE)].sort((a, b) => (a < b ? -1 : 1)),
  )
}

describe('crane', () => {
  it('pushes an entry as it lies on the volume and keeps its digest', async () => {
    const { entry, digest } = await storedEntry()
    const tag = `${registry.address}/crane/pushed:tag`
    expect(await crane('push', entry, tag)).toBe(`${registry.address}/crane/pushed@${digest}`)
    expect(await crane('digest', tag)).toBe(digest)
    const [algorithm = '', hex = ''] = digest.split(':')
    expect(await crane('manifest', tag)).toBe(await readFile(join(entry, 'blobs', algorithm, hex), 'utf8'))
  })

  it('pulls back the very same bytes', async () => {
    const { entry, digest } = await storedEntry()
    const tag = `${registry.address}/crane/pulled:tag`
    await crane('push', entry, tag)
    const layout = join(await newFolder(), 'layout')
    await crane('pull', '--format=oci', tag, layout)
    const manifest = JSON.parse(await readFile(join(layout, 'blobs', ...digest.split(':')), 'utf8')) as {
      config: { digest: string }
      layers: { digest: string }[]
    }
    for (const { digest: blob } of [manifest.config, ...manifest.layers]) {
      const path = ['blobs', ...blob.split(':')]
      expect((await readFile(join(layout, ...path))).equals(await readFile(join(entry, ...path)))).toBe(true)
    }
  })
})

describe('oras', () => {
  it('pulls large files by their titles, and packs, from an entry on the volume', async () => {
    const { entry, digest } = await storedEntry()
    const target = await newFolder()
    await oras('pull', '--oci-layout', `${entry}@${digest}`, '--output', target)
    await expectLayers(target)
  })

  it('copies an entry to a registry, from where it is pulled the same way', async () => {
    const { entry, digest } = await storedEntry()
    const name = `${registry.address}/oras/copied`
    await oras('copy', '--from-oci-layout', `${entry}@${digest}`, '--to-plain-http', `${name}:tag`)
    expect(await oras('resolve', '--plain-http', `${name}:tag`)).toBe(digest)
    const target = await newFolder()
    await oras('pull', '--plain-http', `${name}:tag`, '--output', target)
    await expectLayers(target)
  })

  it('refuses an entry with a blob whose bytes were changed', async () => {
    const { entry, digest } = await storedEntry()
    const manifest = JSON.parse(await readFile(join(entry, 'blobs', ...digest.split(':')), 'utf8')) as {
      layers: { digest: string; size: number }[]
    }
    const blob = join(entry, 'blobs', ...manifest.layers.at(-1)!.digest.split(':'))
    const { size } = await stat(blob)
    await rm(blob)
    await makeTree({ [blob]: Buffer.alloc(size, 'bad') }, '/')
    const pulled = oras('pull', '--oci-layout', `${entry}@${digest}`, '--output', await newFolder())
    await expect(pulled).rejects.toThrow(/mismatch|verification|digest/i)
  })
})

const hasZstd = !(await execa('zstd', ['--version'], { reject: false })).failed

describe.skipIf(!hasZstd)('tar', () => {
  it('unpacks a pulled pack into the small files, which with the large ones are the source', async () => {
    const { entry, digest, source } = await storedEntry()
    const target = await newFolder()
    await oras('pull', '--oci-layout', `${entry}@${digest}`, '--output', target)
    await mkdir(join(target, 'dir'), { recursive: true })
    await run('tar', ['-C', target, '--zstd', '-xpf', join(target, PACK)])
    await rm(join(target, PACK))
    expect(await readTree(target)).toEqual(await readTree(source))
  })
})
