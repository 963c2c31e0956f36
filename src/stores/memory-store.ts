/** Blobs in memory: for tests, and as the shortest complete example of a store. */
import { checkDigest, digestOf, missingBlob } from './digest.ts'
import type { BlobStore } from './store.ts'

export function memoryStore(): BlobStore {
  const blobs = new Map<string, Buffer>()
  const place = 'memory'
  return {
    place,
    size: async (digest) => blobs.get(checkDigest(digest))?.length,
    async put(content) {
      const chunks: Buffer[] = []
      for await (const chunk of content) chunks.push(Buffer.from(chunk))
      const data = Buffer.concat(chunks)
      const digest = digestOf(data)
      const isNew = !blobs.has(digest)
      blobs.set(digest, data)
      return { digest, size: data.length, isNew }
    },
    async *get(digest, range) {
      const data = blobs.get(checkDigest(digest))
      if (!data) throw missingBlob(digest, place)
      yield range ? data.subarray(range.offset, range.offset + range.length) : data
    },
  }
}
