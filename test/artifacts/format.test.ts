import { execFileSync } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { readdir, readFile, readlink, realpath, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { zstdDecompressSync } from 'node:zlib'
import * as fc from 'fast-check'
import { pack } from 'tar-stream'
import { describe, expect, it } from 'vitest'
import { injectFault } from '../../src/platform/fs.ts'
import { volumeStore } from '../../src/stores/volume-store.ts'
import { memoryStore } from '../../src/stores/memory-store.ts'
import { readVerified } from '../../src/stores/digest.ts'
import { readArtifact } from '../../src/artifacts/manifest.ts'
import { encodeIndex, type IndexEntry } from '../../src/artifacts/artifact-index.ts'
import { canonicalJson } from '../../src/artifacts/canonical.ts'
import { storeContent } from '../../src/artifacts/store-content.ts'
import { comparePaths } from '../../src/artifacts/safe-path.ts'
import { tarHeader } from '../../src/artifacts/tar.ts'
import type { SourceEntry } from '../../src/artifacts/walk.ts'
import { endsPack, FRAME } from '../../src/artifacts/format.ts'
import { identity, makeTree, newFolder, newVolume, outputFolder, readTree, store } from './support.ts'

const MiB = 1024 * 1024
const never = new AbortController().signal
const sha256 = (data: Uint8Array): string => `sha256:${createHash('sha256').update(data).digest('hex')}`

interface Described {
  mediaType: string
  digest: string
  size: number
  annotations: Record<string, string>
}

const json = async <T>(path: string): Promise<T> => JSON.parse(await readFile(path, 'utf8')) as T

/** The one manifest that an entry's index.json names. */
async function describedBy(entry: string): Promise<Described> {
  const { manifests } = await json<{ manifests: Described[] }>(join(entry, 'index.json'))
  expect(manifests).toHaveLength(1)
  return manifests[0]!
}

interface ReadManifest {
  layers: Described[]
  config: Described
}

/** A blob as any OCI tool finds it: through the entry's own blobs folder, by its digest. */
async function blobOf(entry: string, descriptor: { digest: string; size: number }): Promise<Buffer> {
  const bytes = await readFile(join(entry, 'blobs', ...descriptor.digest.split(':')))
  expect(bytes.length).toBe(descriptor.size)
  expect(sha256(bytes)).toBe(descriptor.digest)
  return bytes
}

const TREE = {
  'a.txt': 'first',
  'dir/tool*': '#!/bin/sh\n',
  'dir/empty': null,
  'dir/link': { link: '../a.txt' },
  'large.bin': Buffer.alloc(MiB, 1),
}

describe('an entry on the volume', () => {
  it('is a complete OCI image layout that needs only the folder itself and the store', async () => {
    const volume = await newVolume()
    const { digest } = await store(volume, await makeTree(TREE), { identity: identity() })
    const entry = join(outputFolder(volume), '0.0')
    expect((await readdir(entry)).sort()).toEqual(['blobs', 'index.json', 'oci-layout'])
    expect(await json(join(entry, 'oci-layout'))).toEqual({ imageLayoutVersion: '1.0.0' })
    expect((await readlink(join(entry, 'blobs'))).startsWith('..')).toBe(true)
    expect(await realpath(join(entry, 'blobs'))).toBe(await realpath(volume.layout.blobs))
    const index = await json<object>(join(entry, 'index.json'))
    expect(index).toMatchObject({ schemaVersion: 2, mediaType: 'application/vnd.oci.image.index.v1+json' })
    const described = await describedBy(entry)
    expect(described).toMatchObject({
      mediaType: 'application/vnd.oci.image.manifest.v1+json',
      artifactType: 'application/vnd.tekton-shared-workspace.artifact.v1',
      digest,
      annotations: {
        'org.opencontainers.image.ref.name': 'out',
        'vnd.tekton-shared-workspace.run.uid': 'uid-run-1',
        'vnd.tekton-shared-workspace.task': 'build',
        'vnd.tekton-shared-workspace.pod.uid': 'uid-pod-1',
      },
    })
    for (const text of Object.values(described.annotations)) expect(text).toBeTypeOf('string')
  })

  it('has a manifest of OCI shape whose descriptors are all there and right', async () => {
    const volume = await newVolume()
    await store(volume, await makeTree(TREE))
    const entry = join(outputFolder(volume), '0.0')
    const manifest = JSON.parse(String(await blobOf(entry, await describedBy(entry)))) as ReadManifest
    expect(Object.keys(manifest)).toEqual([
      'annotations',
      'artifactType',
      'config',
      'layers',
      'mediaType',
      'schemaVersion',
    ])
    expect(
      manifest.layers.map((layer) => [layer.mediaType, layer.annotations['org.opencontainers.image.title']]),
    ).toEqual([
      ['application/vnd.oci.image.layer.v1.tar+zstd', 'shared-workspace-pack-0000.tar.zst'],
      ['application/octet-stream', 'large.bin'],
    ])
    for (const layer of manifest.layers) await blobOf(entry, layer)
    expect(manifest.config.mediaType).toBe('application/vnd.tekton-shared-workspace.index.v1+json')
    const index = JSON.parse(String(await blobOf(entry, manifest.config))) as {
      entries: { path: string; type: string; mode?: string; target?: string }[]
    }
    expect(index.entries.map((one) => [one.path, one.type, one.mode ?? one.target])).toEqual([
      ['a.txt', 'file', '0644'],
      ['dir', 'dir', '0755'],
      ['dir/empty', 'dir', '0755'],
      ['dir/link', 'symlink', '../a.txt'],
      ['dir/tool', 'file', '0755'],
      ['large.bin', 'file', '0644'],
    ])
  })

  it('has the digests that this format version has always given', async () => {
    const { manifest, content } = await storeContent(memoryStore(), await makeTree(TREE), never)
    // Where one of these changes, old artifacts and new ones of the same content differ: a new format version.
    expect(content.digest).toBe('sha256:21a9ba4207bdc1d17ca5fffd4e6af0ba5b9ae2b0fc37594b83cda7552683d1d1')
    expect(manifest.digest).toBe('sha256:0ac872582237c0dd0050aa7b97747258396c51a3e6daac7f28aa808a62d374b7')
  })
})

describe('a pack', () => {
  it('is recovered by hand with zstd and tar; large files are blobs under their titles', async () => {
    const volume = await newVolume()
    const source = await makeTree({
      ...TREE,
      ['ü'.repeat(120)]: 'long name',
      [`deep/${'d'.repeat(200)}/f`]: 'x',
    })
    await store(volume, source)
    const entry = join(outputFolder(volume), '0.0')
    const manifest = JSON.parse(String(await blobOf(entry, await describedBy(entry)))) as ReadManifest
    const target = await newFolder()
    for (const layer of manifest.layers) {
      const bytes = await blobOf(entry, layer)
      const title = layer.annotations['org.opencontainers.image.title'] ?? ''
      if (!layer.mediaType.endsWith('tar+zstd')) await writeFile(join(target, title), bytes)
      else execFileSync('tar', ['xpf', '-', '-C', target], { input: zstdDecompressSync(bytes) })
    }
    expect(await readTree(target)).toEqual(await readTree(source))
  })

  it('is a row of independent frames of at most 1 MiB, as the index says', async () => {
    const blobs = memoryStore()
    const files = Array.from({ length: 7 }, (_, n) => [`f${n}`, Buffer.alloc(500_000, `${n} text `)])
    const { manifest } = await storeContent(blobs, await makeTree(Object.fromEntries(files)), never)
    const artifact = await readArtifact(blobs, manifest)
    const [pack] = artifact.index.packs
    const [layer] = artifact.manifest.layers
    const bytes = await readVerified(blobs, layer!)
    let at = 0
    const sizes = pack!.frames.map((size) => zstdDecompressSync(bytes.subarray(at, (at += size))).length)
    expect(sizes.slice(0, -1)).toEqual([FRAME, FRAME, FRAME])
    expect(sizes.reduce((sum, size) => sum + size)).toBe(pack!.size)
    const tar = zstdDecompressSync(bytes)
    for (const entry of artifact.index.entries) {
      if (entry.type !== 'file') continue
      expect(sha256(tar.subarray(entry.offset, entry.offset + entry.size))).toBe(`sha256:${entry.sha256}`)
    }
  })

  it('grows by less than a thousandth over content that does not compress', async () => {
    const blobs = memoryStore()
    const files = Array.from({ length: 6 }, (_, n) => [`f${n}`, randomBytes(600_000)])
    const { manifest } = await storeContent(blobs, await makeTree(Object.fromEntries(files)), never)
    const { layers } = (await readArtifact(blobs, manifest)).manifest
    expect(layers[0]!.size).toBeLessThan(3_600_000 * 1.001 + 10_000)
  })

  it('ends where a path says so, hence a file added in front changes few packs', async () => {
    const blobs = memoryStore()
    // 40 MB in 800 files.
    const files = Array.from({ length: 800 }, (_, n) => [
      `dir/file-${n}`,
      Buffer.alloc(50_000, randomBytes(64)),
    ])
    const source = await makeTree(Object.fromEntries(files))
    const first = await storeContent(blobs, source, never)
    await writeFile(join(source, 'a-new-file-in-front'), 'x')
    const second = await storeContent(blobs, source, never)
    const packsOf = async (manifest: { digest: string; size: number }) =>
      (await readArtifact(blobs, manifest)).manifest.layers.map(({ digest }) => digest)
    const [before, after] = [await packsOf(first.manifest), await packsOf(second.manifest)]
    expect(before.length).toBeGreaterThan(2)
    expect(after.filter((digest) => !before.includes(digest)).length).toBeLessThanOrEqual(2)
  })

  it('records every mode as it is, even none', async () => {
    for (const mode of [0, 0o400, 0o777]) {
      const entry = { type: 'file', path: 'f', mode, size: 1, ...UNUSED } as const
      const header = tarHeader(entry)
      expect(Number.parseInt(header.toString('latin1', 100, 107), 8)).toBe(mode)
    }
  })

  it('has the headers that tar-stream writes, for any path, mode and target', async () => {
    const name = fc.string({ unit: fc.constantFrom('a', 'ü', '\u{1F600}'), minLength: 1, maxLength: 60 })
    const path = fc.array(name, { minLength: 1, maxLength: 8 }).map((names) => names.join('/'))
    const mode = fc.integer({ min: 0, max: 0o777 })
    const size = fc.integer({ min: 0, max: MiB - 1 })
    const entry = fc.oneof(
      fc
        .record({ type: fc.constant('file' as const), path, mode, size })
        .map((file) => ({ ...file, ...UNUSED })),
      fc.record({ type: fc.constant('dir' as const), path, mode }),
      fc.record({ type: fc.constant('symlink' as const), path, target: path }),
    )
    const same = async (one: SourceEntry): Promise<void> => {
      expect(tarHeader(one).equals(await tarStreamHeader(one))).toBe(true)
    }
    await fc.assert(fc.asyncProperty(entry, same), { numRuns: 500 })
  })

  it('never ends below 4 MiB and always at 64 MiB', () => {
    const paths = Array.from({ length: 2000 }, (_, n) => `path-${n}`)
    expect(paths.some((path) => endsPack(4 * MiB - 1, path))).toBe(false)
    expect(paths.some((path) => endsPack(4 * MiB, path))).toBe(true)
    expect(paths.every((path) => endsPack(64 * MiB, path))).toBe(true)
  })
})

/** What no header tells. */
const UNUSED = { from: '', ino: 0, mtimeMs: 0, ctimeMs: 0 }

/** The header that tar-stream makes: of every file, folder and symlink this format version has ever stored. */
async function tarStreamHeader(entry: SourceEntry): Promise<Buffer> {
  const tar = pack()
  const common = { name: entry.path, uid: 0, gid: 0, mtime: new Date(0) }
  // It takes a mode of 0 for none given, and drops S_IFREG.
  if (entry.type === 'file')
    tar.entry({ ...common, type: 'file', mode: 0o100000 | entry.mode, size: entry.size })
  else if (entry.type === 'dir') tar.entry({ ...common, type: 'directory', mode: entry.mode })
  else tar.entry({ ...common, type: 'symlink', mode: 0o777, linkname: entry.target })
  if (entry.type !== 'file' || entry.size === 0) tar.finalize()
  const chunks: Buffer[] = []
  // The header comes first, and of a file that has no content yet, nothing else.
  for await (const chunk of tar as AsyncIterable<Buffer>) {
    chunks.push(chunk)
    if (Buffer.concat(chunks).length >= tarHeader(entry).length) break
  }
  return Buffer.concat(chunks)
}

describe('an index', () => {
  it('is canonical JSON, however many entries it has', () => {
    const entries = Array.from({ length: 2500 }, (_, n): IndexEntry => {
      const path = `${n}`
      if (n % 3 === 0) return { type: 'dir', path, mode: '0755' }
      if (n % 3 === 1) return { type: 'symlink', path, target: 'x' }
      return { type: 'file', path, mode: '0644', size: n, sha256: 'f'.repeat(64), layer: 0, offset: n }
    })
    const packs = [{ layer: 0, size: 1, frames: [1] }]
    for (const some of [[], entries.slice(0, 1), entries]) {
      const text = Buffer.concat([...encodeIndex(packs, some)]).toString()
      expect(text).toBe(canonicalJson({ packs, entries: some, frameSize: FRAME }))
    }
  })
})

describe('paths', () => {
  it('are in the order of their UTF-8 bytes', () => {
    const text = fc.string({ unit: 'binary', maxLength: 4 })
    const sameOrder = (a: string, b: string): void => {
      expect(Math.sign(comparePaths(a, b))).toBe(Buffer.compare(Buffer.from(a), Buffer.from(b)))
    }
    fc.assert(fc.property(text, text, sameOrder), {
      examples: [
        ['\u{1F600}', '\uFFFD'],
        ['a', 'a/b'],
        ['a-b', 'a/b'],
      ],
    })
  })
})

describe('content that the store has', () => {
  it('is not written again, not even for a while', async () => {
    const { layout } = await newVolume()
    // A pack and a file that are too large to wait in memory.
    const source = await makeTree({
      ...Object.fromEntries(Array.from({ length: 12 }, (_, n) => [`f${n}`, randomBytes(1_000_000)])),
      'big.bin': randomBytes(12_000_000),
    })
    const first = await storeContent(volumeStore(layout), source, never)
    let writes = 0
    injectFault((operation) => void (operation === 'write' && writes++))
    const second = await storeContent(volumeStore(layout), source, never)
    injectFault(undefined)
    expect(second).toMatchObject({ manifest: { digest: first.manifest.digest }, newBytes: 0 })
    expect(writes).toBe(0)
  })

  it('costs no new bytes under another name; one changed file costs that file', async () => {
    const volume = await newVolume()
    const source = await makeTree({
      small: 'x',
      'one.bin': Buffer.alloc(2 * MiB, 1),
      'two.bin': Buffer.alloc(2 * MiB, 2),
    })
    const newBytes = async (output: string): Promise<number> => {
      let bytes = -1
      await store(volume, source, {
        output,
        emit: (e) => void (e.event === 'artifact-stored' && (bytes = e.newBytes)),
      })
      return bytes
    }
    expect(await newBytes('first')).toBeGreaterThan(4 * MiB)
    expect(await newBytes('second')).toBe(0)
    await rename(join(source, 'one.bin'), join(source, 'renamed.bin'))
    expect(await newBytes('third')).toBeLessThan(10_000)
    await rm(join(source, 'two.bin'))
    await writeFile(join(source, 'two.bin'), Buffer.alloc(2 * MiB, 3))
    expect(await newBytes('fourth')).toBeLessThan(2 * MiB + 10_000)
  })
})
