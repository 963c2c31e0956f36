/**
 * Where blobs are kept: content under its own sha256, never changed once it is there. The volume is one such
 * store; others hold the same blobs elsewhere. Which blobs make an artifact, and what an artifact is called, is
 * not a store's affair. Every store passes test/stores/contract.ts.
 */

/** `sha256:` and 64 hexadecimal digits. */
export type Digest = string

export interface PutBlob {
  digest: Digest
  /** Bytes. */
  size: number
  /** False where the store had this content already, so that nothing was added to it. */
  isNew: boolean
}

/** `length` bytes from `offset` on. */
export interface Range {
  offset: number
  length: number
}

export interface BlobStore {
  /** Where it is, for messages: a folder, a URL. */
  readonly place: string

  /** The size of a blob in bytes, or undefined where the store does not have it. */
  size(digest: Digest): Promise<number | undefined>

  /**
   * Stores a stream whose digest is known only at its end. The blob is there whole and durable when this
   * resolves; where it rejects, or the stream does, nothing is left behind. Any number of callers may put the
   * same content at once. Memory: a few chunks, whatever the size.
   */
  put(content: AsyncIterable<Uint8Array>): Promise<PutBlob>

  /**
   * The bytes of a blob, or of a range within it, as they are: unverified, since a range cannot be. Use
   * `readVerified` for small whole blobs; check the sha256 of anything else.
   * @throws WorkspaceError ARTIFACT_NOT_FOUND, at the first read, where the store does not have it.
   */
  get(digest: Digest, range?: Range): AsyncIterable<Uint8Array>
}
