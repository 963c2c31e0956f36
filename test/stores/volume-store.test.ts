import { randomBytes } from 'node:crypto'
import { chmod, readdir, rm, stat, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { injectFault } from '../../src/platform/fs.ts'
import { digestOf, readVerified } from '../../src/stores/digest.ts'
import { HELD, volumeStore } from '../../src/stores/volume-store.ts'
import { layoutOf, type Layout } from '../../src/volume/layout.ts'
import { temporaryFolder } from '../support/folder.ts'
import { chunksOf, readAll, storeContract } from './contract.ts'
import { temporaries } from '../artifacts/support.ts'

const newLayout = async () => layoutOf(await temporaryFolder())

storeContract('the volume store', async () => volumeStore(await newLayout()))

describe('the volume store', () => {
  afterEach(() => injectFault(undefined))

  it('keeps blobs read-only under store/blobs/sha256 and no temporary names', async () => {
    const layout = await newLayout()
    const { digest } = await volumeStore(layout).put(chunksOf('content'))
    expect((await stat(layout.blob(digest))).mode & 0o777).toBe(0o444)
    expect(await readdir(join(layout.blobs, 'sha256'))).toEqual([digest.slice(7)])
  })

  it('does not write a blob again that it has', async () => {
    const layout = await newLayout()
    const { digest } = await volumeStore(layout).put(chunksOf('content'))
    const before = await stat(layout.blob(digest))
    await volumeStore(layout).put(chunksOf('content'))
    expect(await stat(layout.blob(digest))).toMatchObject({ ino: before.ino, ctimeMs: before.ctimeMs })
  })

  it('refuses to build on a blob of the wrong size', async () => {
    const layout = await newLayout()
    const { digest } = await volumeStore(layout).put(chunksOf('content'))
    await truncate(layout.blob(digest), 3)
    await expect(volumeStore(layout).put(chunksOf('content'))).rejects.toMatchObject({
      code: 'DIGEST_MISMATCH',
    })
  })

  it('finds out that bytes of a blob were changed', async () => {
    const layout = await newLayout()
    const store = volumeStore(layout)
    const blob = await store.put(chunksOf('content'))
    await chmod(layout.blob(blob.digest), 0o644)
    await writeFile(layout.blob(blob.digest), 'CONTENT')
    await expect(readVerified(store, blob)).rejects.toMatchObject({
      code: 'DIGEST_MISMATCH',
      expected: blob.digest,
      found: digestOf('CONTENT'),
    })
  })

  it.each(['write', 'sync', 'link'] as const)(
    'leaves no name behind where %s finds the disk full',
    async (broken) => {
      const layout = await newLayout()
      injectFault((operation) => {
        if (operation === broken)
          throw Object.assign(new Error('no space left on device'), { code: 'ENOSPC' })
      })
      await expect(volumeStore(layout).put(chunksOf('content'))).rejects.toMatchObject({ code: 'ENOSPC' })
      injectFault(undefined)
      expect(await readdir(join(layout.blobs, 'sha256'))).toEqual([])
    },
  )

  it('believes that a name is missing only after it has listed the folder, as NFS needs it', async () => {
    const layout = await newLayout()
    const store = volumeStore(layout)
    const { digest, size } = await store.put(chunksOf('content'))
    let listed = false
    injectFault((operation, path) => {
      if (operation === 'readdir') listed = true
      if (operation === 'open' && path === layout.blob(digest) && !listed) {
        throw Object.assign(new Error('stale negative entry'), { code: 'ENOENT' })
      }
    })
    expect(await store.size(digest)).toBe(size)
  })

  describe('writes nothing of what it has', () => {
    /** The bytes that a put wrote, and how often it asked for the content again. */
    const putting = async (layout: Layout, content: Buffer, repeatable = true) => {
      const chunks = (): AsyncGenerator<Uint8Array> => inChunks(content)
      let writes = 0
      let repeats = 0
      injectFault((operation) => void (operation === 'write' && writes++))
      const again = (): AsyncGenerator<Uint8Array> => (repeats++, chunks())
      const put = await volumeStore(layout).put(chunks(), repeatable ? again : undefined)
      injectFault(undefined)
      expect(put).toMatchObject({ digest: digestOf(content), size: content.length })
      expect((await readAll(volumeStore(layout), put.digest)).equals(content)).toBe(true)
      expect(await temporaries(layout.root)).toEqual([])
      return { isNew: put.isNew, wrote: writes > 0, repeats }
    }

    it.each([
      ['short', 1000],
      ['long', HELD + 3_000_000],
    ])('%s content', async (_, size) => {
      const layout = await newLayout()
      const content = randomBytes(size)
      expect(await putting(layout, content)).toEqual({ isNew: true, wrote: true, repeats: 0 })
      expect(await putting(layout, content)).toEqual({ isNew: false, wrote: false, repeats: 0 })
    })

    it('and reads long content again that only begins like what it has', async () => {
      const layout = await newLayout()
      const [one, other] = [randomBytes(HELD + 3_000_000), randomBytes(2_000_000)]
      await putting(layout, one)
      const begunAlike = Buffer.concat([one.subarray(0, 9_000_000), other])
      expect(await putting(layout, begunAlike)).toEqual({ isNew: true, wrote: true, repeats: 1 })
      expect(await putting(layout, begunAlike)).toEqual({ isNew: false, wrote: false, repeats: 0 })
    })

    it('unless long content cannot be read again, or what it had is gone', async () => {
      const layout = await newLayout()
      const content = randomBytes(HELD + 3_000_000)
      await putting(layout, content)
      expect(await putting(layout, content, false)).toMatchObject({ isNew: false, wrote: true })
      await rm(layout.blob(digestOf(content)))
      expect(await putting(layout, content)).toEqual({ isNew: true, wrote: true, repeats: 0 })
    })
  })
})

async function* inChunks(content: Buffer): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < content.length; at += 1_000_000) yield content.subarray(at, at + 1_000_000)
}
