/** What every store must do. A new store passes this suite unchanged. */
import { createHash, randomBytes } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { digestOf, readVerified } from '../../src/stores/digest.ts'
import type { BlobStore, Range } from '../../src/stores/store.ts'

export async function* chunksOf(...chunks: (string | Uint8Array)[]): AsyncGenerator<Uint8Array> {
  for (const chunk of chunks) yield Buffer.from(chunk)
}

export async function readAll(store: BlobStore, digest: string, range?: Range): Promise<Buffer> {
  const chunks: Uint8Array[] = []
  for await (const chunk of store.get(digest, range)) chunks.push(chunk)
  return Buffer.concat(chunks)
}

export function storeContract(name: string, makeStore: () => Promise<BlobStore>): void {
  describe(`${name} keeps the contract of a store`, () => {
    it('gives back what was put, under its sha256', async () => {
      const store = await makeStore()
      const put = await store.put(chunksOf('hello ', 'world'))
      expect(put).toEqual({ digest: digestOf('hello world'), size: 11, isNew: true })
      expect(await store.size(put.digest)).toBe(11)
      expect((await readAll(store, put.digest)).toString()).toBe('hello world')
    })

    it('adds nothing for content that it has', async () => {
      const store = await makeStore()
      const first = await store.put(chunksOf('same'))
      const second = await store.put(chunksOf('sa', 'me'))
      expect(second).toEqual({ ...first, isNew: false })
    })

    it('keeps an empty blob', async () => {
      const store = await makeStore()
      const { digest } = await store.put(chunksOf())
      expect(digest).toBe(digestOf(''))
      expect(await store.size(digest)).toBe(0)
      expect(await readAll(store, digest)).toHaveLength(0)
    })

    it('gives any range of a blob of several chunks', async () => {
      const store = await makeStore()
      const data = randomBytes(2.5 * 1024 * 1024)
      const { digest } = await store.put(chunksOf(data.subarray(0, 700_000), data.subarray(700_000)))
      for (const [offset, length] of [
        [0, 1],
        [1_048_575, 2],
        [1_000_000, 1_500_000],
        [data.length - 3, 3],
      ] as const) {
        const range = await readAll(store, digest, { offset, length })
        expect(range.equals(data.subarray(offset, offset + length))).toBe(true)
      }
      expect(
        createHash('sha256')
          .update(await readAll(store, digest))
          .digest('hex'),
      ).toBe(digest.slice(7))
    })

    it('leaves nothing where the stream fails', async () => {
      const store = await makeStore()
      async function* failing(): AsyncGenerator<Uint8Array> {
        yield Buffer.from('half')
        throw new Error('the source failed')
      }
      await expect(store.put(failing())).rejects.toThrow('the source failed')
      expect(await store.size(digestOf('half'))).toBeUndefined()
    })

    it('lets many callers put the same content at once, one of which adds it', async () => {
      const store = await makeStore()
      const puts = await Promise.all(Array.from({ length: 8 }, () => store.put(chunksOf('contended'))))
      expect(puts.filter((put) => put.isNew)).toHaveLength(1)
      expect((await readAll(store, digestOf('contended'))).toString()).toBe('contended')
    })

    it('says what it does not have', async () => {
      const store = await makeStore()
      const digest = digestOf('nowhere')
      expect(await store.size(digest)).toBeUndefined()
      await expect(readAll(store, digest)).rejects.toMatchObject({ code: 'ARTIFACT_NOT_FOUND' })
    })

    it('refuses a digest that is none, before it becomes a name', async () => {
      const store = await makeStore()
      await expect(readAll(store, 'sha256:../../../etc/passwd')).rejects.toMatchObject({
        code: 'DIGEST_MISMATCH',
      })
    })

    it('is verified by readVerified against size and digest', async () => {
      const store = await makeStore()
      const { digest } = await store.put(chunksOf('verified'))
      expect((await readVerified(store, { digest, size: 8 })).toString()).toBe('verified')
      await expect(readVerified(store, { digest, size: 7 })).rejects.toMatchObject({
        code: 'DIGEST_MISMATCH',
      })
      await expect(readVerified(store, { digest, size: 9 })).rejects.toMatchObject({
        code: 'DIGEST_MISMATCH',
      })
    })
  })
}
