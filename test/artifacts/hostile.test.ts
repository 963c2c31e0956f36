import { chmod, mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { zstdCompressSync } from 'node:zlib'
import type { ArtifactIndex, FileEntry } from '../../src/artifacts/artifact-index.ts'
import { digestOfEntries } from '../../src/artifacts/digest.ts'
import { readArtifact, type Manifest } from '../../src/artifacts/manifest.ts'
import { volumeStore } from '../../src/stores/volume-store.ts'
import type { Volume } from '../../src/volume/volume.ts'
import { chunksOf } from '../stores/contract.ts'
import { codeOf, makeTree, newFolder, newVolume, outputFolder, readTree, retrieve, store } from './support.ts'

const MiB = 1024 * 1024
const TREE = {
  a: 'aaaa',
  'dir/b': 'bbbb',
  'dir/link': { link: '../a' },
  large: Buffer.alloc(MiB, 1),
  z: 'last',
}

/** What a forger changes; digests are made to fit again afterwards. */
interface Forged {
  index: ArtifactIndex
  manifest: Manifest
  put: (bytes: Uint8Array) => Promise<{ digest: string; size: number }>
  /** Instead of the right one. */
  contentDigest?: string
}

/** A volume whose newest build/out is a handmade artifact, all of whose digests are right. */
async function forge(change: (forged: Forged) => void | Promise<void>): Promise<Volume> {
  const volume = await newVolume()
  const stored = await store(volume, await makeTree(TREE))
  const blobs = volumeStore(volume.layout)
  const size = (await blobs.size(stored.digest)) ?? 0
  const { index, manifest } = await readArtifact(blobs, { digest: stored.digest, size })
  const put = (bytes: Uint8Array) => blobs.put(chunksOf(bytes))
  const forged: Forged = { index, manifest, put }
  await change(forged)
  const config = await put(Buffer.from(JSON.stringify(index)))
  Object.assign(manifest.config, { digest: config.digest, size: config.size })
  const contentKey = Object.keys(manifest.annotations).find((key) => key.endsWith('content-digest'))!
  manifest.annotations[contentKey] = forged.contentDigest ?? digestOfEntries(index.entries)
  const blob = await put(Buffer.from(JSON.stringify(manifest)))
  await publishByHand(volume, { mediaType: manifest.mediaType, digest: blob.digest, size: blob.size })
  return volume
}

async function publishByHand(volume: Volume, descriptor: object): Promise<void> {
  const entry = join(outputFolder(volume), '0.1')
  await mkdir(entry)
  await writeFile(join(entry, 'index.json'), JSON.stringify({ schemaVersion: 2, manifests: [descriptor] }))
  await symlink('../../../../../store/blobs', join(entry, 'blobs'))
}

/** The error of a retrieval into a new and into an existing folder: nothing appears, there or beside it. */
async function refusal(volume: Volume): Promise<unknown> {
  const parent = await newFolder()
  const code = await codeOf(retrieve(volume, join(parent, 'target')))
  expect(await readdir(parent)).toEqual([])
  const existing = await makeTree({ 'target/mine': 'm' })
  expect(await codeOf(retrieve(volume, join(existing, 'target')))).toBe(code)
  expect(Object.keys(await readTree(existing))).toEqual(['target', 'target/mine'])
  return code
}

const fileAt = (index: ArtifactIndex, path: string): FileEntry =>
  index.entries.find((entry): entry is FileEntry => entry.path === path && entry.type === 'file')!

describe('a handmade artifact', () => {
  it('is retrieved where nothing is wrong with it', async () => {
    const target = join(await newFolder(), 'target')
    await expect(retrieve(await forge(() => {}), target)).resolves.toMatchObject({ files: 4 })
  })

  it.each([
    '../escaped',
    '/etc/escaped',
    'dir/../../escaped',
    '.',
    '',
    'a\0b',
    './a',
    'dir//b',
    '\ud800',
    'n'.repeat(256),
  ])('with the path %j is refused', async (path) => {
    expect(await refusal(await forge(({ index }) => void (fileAt(index, 'a').path = path)))).toBe(
      'UNSAFE_PATH',
    )
  })

  it.each(['/etc', '../..', 'x/../../..'])('with a symlink to %s is refused', async (target) => {
    const volume = await forge(({ index }) => {
      for (const entry of index.entries) if (entry.type === 'symlink') entry.target = target
    })
    expect(await refusal(volume)).toBe('UNSAFE_PATH')
  })

  it('that writes through its own symlink is refused', async () => {
    const volume = await forge(({ index }) => {
      index.entries = [{ type: 'symlink', path: 'dir', target: 'a' }, { ...fileAt(index, 'dir/b') }]
    })
    expect(await refusal(volume)).toBe('DIGEST_MISMATCH')
  })

  it.each<[string, (forged: Forged) => void | Promise<void>]>([
    ['lies about a size', ({ index }) => void (fileAt(index, 'a').size = 3)],
    ['lies about a large size', ({ index }) => void (fileAt(index, 'large').size = MiB + 1)],
    ['lies about an offset', ({ index }) => void (fileAt(index, 'a').offset += 1)],
    ['points beyond the pack', ({ index }) => void (fileAt(index, 'a').offset = 10 * MiB)],
    ['points at no layer', ({ index }) => void (fileAt(index, 'a').layer = 7)],
    ['points at another layer', ({ index }) => void (fileAt(index, 'a').layer = 1)],
    ['lies about a digest', ({ index }) => void (fileAt(index, 'z').sha256 = 'ab'.repeat(32))],
    ['has negative numbers', ({ index }) => void (fileAt(index, 'a').offset = -512)],
    ['has a special bit in a mode', ({ index }) => void (fileAt(index, 'a').mode = '4755')],
    ['lists a path twice', ({ index }) => void index.entries.splice(1, 0, { ...index.entries[0]! })],
    ['lists paths out of order', ({ index }) => void (index.entries = index.entries.toReversed())],
    [
      'leaves a folder out',
      ({ index }) => void (index.entries = index.entries.filter(({ path }) => path !== 'dir')),
    ],
    ['has frames that do not add up', ({ index }) => void (index.packs[0]!.frames[0]! += 1)],
    ['has a pack of another length', ({ index }) => void (index.packs[0]!.size += 10 * MiB)],
    ['lies about its content digest', (forged) => void (forged.contentDigest = `sha256:${'0'.repeat(64)}`)],
    ['has a frame that grows when read', bomb],
    ['has a frame that is no zstd', garbage],
    ['names a digest that leads out', ({ manifest }) => void (manifest.layers[0]!.digest = 'sha256:../../x')],
    [
      'is of another type',
      ({ manifest }) => void Object.assign(manifest, { artifactType: 'application/other' }),
    ],
  ])('that %s is refused', async (_, change) =>
    expect(await refusal(await forge(change))).toBe('DIGEST_MISMATCH'),
  )

  it('whose frame grows when read is stopped at the size of a frame', async () => {
    const target = join(await newFolder(), 'target')
    const cause = expect.objectContaining({ code: 'ERR_BUFFER_TOO_LARGE' })
    await expect(retrieve(await forge(bomb), target)).rejects.toMatchObject({ cause })
  })

  it('whose blob is missing says which', async () => {
    const digest = `sha256:${'12'.repeat(32)}`
    const volume = await forge(({ manifest }) => void (manifest.layers[1]!.digest = digest))
    expect(await refusal(volume)).toBe('ARTIFACT_NOT_FOUND')
    const target = join(await newFolder(), 'target')
    // Missing content is never taken for a missing artifact.
    await expect(retrieve(volume, target, { optional: true })).rejects.toMatchObject({
      message: expect.stringContaining(digest),
    })
  })

  async function bomb({ index, manifest, put }: Forged): Promise<void> {
    const blob = await put(zstdCompressSync(Buffer.alloc(64 * MiB)))
    Object.assign(manifest.layers[0]!, { digest: blob.digest, size: blob.size })
    index.packs[0]!.frames = [blob.size]
  }

  async function garbage({ index, manifest, put }: Forged): Promise<void> {
    const blob = await put(Buffer.alloc(500, 'no zstd at all'))
    Object.assign(manifest.layers[0]!, { digest: blob.digest, size: blob.size })
    index.packs[0]!.frames = [blob.size]
  }
})

describe('an artifact damaged on the volume', () => {
  it('is refused, whichever blob it is', async () => {
    const volume = await newVolume()
    await store(volume, await makeTree(TREE))
    const folder = join(volume.layout.blobs, 'sha256')
    const names = await readdir(folder)
    expect(names).toHaveLength(4)
    for (const name of names) {
      const bytes = await readFile(join(folder, name))
      await chmod(join(folder, name), 0o644)
      const damaged = Buffer.from(bytes)
      damaged[Math.floor(bytes.length / 2)]! ^= 1
      await writeFile(join(folder, name), damaged)
      expect(await refusal(volume)).toBe('DIGEST_MISMATCH')
      await writeFile(join(folder, name), bytes.subarray(0, bytes.length - 1))
      expect(await refusal(volume)).toBe('DIGEST_MISMATCH')
      await writeFile(join(folder, name), bytes)
    }
    await expect(retrieve(volume, join(await newFolder(), 'target'))).resolves.toMatchObject({ files: 4 })
  })

  it.each(['', '{', '[]', '{"schemaVersion":2,"manifests":[]}'])(
    'is refused for an index.json of %j',
    async (text) => {
      const volume = await newVolume()
      await store(volume, await makeTree(TREE))
      await writeFile(join(outputFolder(volume), '0.0', 'index.json'), text)
      expect(await refusal(volume)).toBe('DIGEST_MISMATCH')
    },
  )

  it('is refused where the digest in index.json would leave the store', async () => {
    const volume = await newVolume()
    await store(volume, await makeTree(TREE))
    const digest = `sha256:${'../'.repeat(10)}etc/passwd`
    await publishByHand(volume, { mediaType: 'application/vnd.oci.image.manifest.v1+json', digest, size: 10 })
    expect(await refusal(volume)).toBe('DIGEST_MISMATCH')
  })
})
