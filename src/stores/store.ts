/**
 * Where artifacts are kept: content under its own sha256, never changed once it is there, and entries, by which
 * names point to it. The volume is one such store; others hold the same elsewhere. Which blobs make an artifact
 * is not a store's affair. Every store passes test/stores/contract.ts.
 */
import type { STRATEGIES } from '../configuration.ts'

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
   * @param again gives the same content anew, for a store that has a reason to hash it before it writes or sends
   */
  put(content: AsyncIterable<Uint8Array>, again?: () => AsyncIterable<Uint8Array>): Promise<PutBlob>

  /**
   * The bytes of a blob, or of a range within it, as they are: unverified, since a range cannot be. Use
   * `readVerified` for small whole blobs; check the sha256 of anything else.
   * @throws WorkspaceError ARTIFACT_NOT_FOUND, at the first read, where the store does not have it.
   */
  get(digest: Digest, range?: Range): AsyncIterable<Uint8Array>

  /** Notes about blobs, where the store can keep them close: a convenience that may be lost at any time. */
  readonly notes?: Notes
}

export interface Notes {
  /** What was written under this name, of hexadecimal digits; maybe damaged. */
  read(name: string): Promise<Buffer | undefined>
  write(name: string, note: string): Promise<void>
}

export type Strategy = (typeof STRATEGIES)[number]

/** Names from a store's root downwards, each checked where it becomes a path: `['artifacts', run, task, output]`. */
export type EntryPath = readonly string[]

/** An artifact holds index.json of an OCI image layout; a seal only takes the next name. */
export type EntryKind = 'artifact' | 'seal'

/** One version of what a path points to: entries are only ever added, and readers take the highest. */
export interface StoreEntry {
  epoch: number
  n: number
  /** `<epoch>.<n>` */
  name: string
  kind: EntryKind
}

export interface ArtifactStore {
  readonly strategy: Strategy
  /** What the uris of its artifacts begin with: `workspace://<volume-id>`, `s3://<bucket>/<prefix>`, … */
  readonly place: string
  readonly blobs: BlobStore

  /** The entries at a path as they are now, lowest first; none where nothing was ever published. */
  entries(path: EntryPath): Promise<StoreEntry[]>

  /** What an entry was published with. @throws WorkspaceError ARTIFACT_NOT_FOUND where it is gone */
  read(path: EntryPath, entry: string): Promise<Buffer>

  /**
   * Publishes an entry exclusively: it is there whole and durable, or not at all.
   * @returns false where that name was taken already; what is there is left as it is.
   */
  publish(path: EntryPath, entry: string, kind: EntryKind, document: string): Promise<boolean>

  /** The names right below a path, sorted; none where there is nothing. */
  names(path: EntryPath): Promise<string[]>

  /** The run id that a run of this namespace and name has, the latest where there were several. */
  findRun(namespace: string, name: string): Promise<string | undefined>

  /** Lets `findRun` find a run. */
  nameRun(run: { namespace: string; name: string; uid: string }): Promise<void>
}
