/** Digests as stores, manifests and references write them. */
import { sha256 } from '../platform/hash.ts'
import { WorkspaceError } from '../errors.ts'
import type { BlobStore, Digest } from './store.ts'

export const DIGEST = /^sha256:[0-9a-f]{64}$/

/** The digest of `data`. */
export const digestOf = (data: Uint8Array | string): Digest => `sha256:${sha256(data)}`

/** Checks a digest before it becomes a name in a store. @throws WorkspaceError DIGEST_MISMATCH */
export function checkDigest(digest: string): Digest {
  if (DIGEST.test(digest)) return digest
  throw new WorkspaceError('DIGEST_MISMATCH', `${JSON.stringify(digest)} is not a digest`, {
    expected: 'sha256: and 64 hexadecimal digits in lower case',
  })
}

/** The error for a blob that an artifact needs and the store does not have. */
export function missingBlob(digest: Digest, place: string, cause?: unknown): WorkspaceError {
  return new WorkspaceError('ARTIFACT_NOT_FOUND', `the blob ${digest} is missing from ${place}`, {
    expected: 'the content that the artifact was stored with',
    found: 'no such blob',
    hint: 'bring it back from trash, or run the task that made the artifact again',
    cause,
  })
}

/**
 * A whole blob in memory, checked against its size and digest: for manifests and indexes.
 * @throws WorkspaceError DIGEST_MISMATCH, ARTIFACT_NOT_FOUND
 */
export async function readVerified(
  store: BlobStore,
  blob: { digest: Digest; size: number },
): Promise<Buffer> {
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of store.get(blob.digest)) {
    size += chunk.length
    if (size > blob.size) break
    chunks.push(chunk)
  }
  const data = Buffer.concat(chunks)
  const found =
    size === blob.size ? digestOf(data) : `${size > blob.size ? 'more' : 'fewer'} than ${blob.size} bytes`
  if (found === blob.digest) return data
  throw new WorkspaceError('DIGEST_MISMATCH', `a blob in ${store.place} is not what its digest says`, {
    expected: blob.digest,
    found,
    hint: 'the storage damaged it or somebody changed it; store the artifact again under another name',
  })
}
