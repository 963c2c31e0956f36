/** Whether everything that an entry consists of is there: only then is it a hit. */
import {
  inOrder,
  newestArtifact,
  readArtifact,
  readEntry,
  type Artifact,
  type StoredEntry,
} from '../artifacts/index.ts'
import { WorkspaceError } from '../errors.ts'
import { missingBlob } from '../stores/digest.ts'
import type { ArtifactStore, BlobStore, EntryPath } from '../stores/store.ts'

const LOOKS_AT_ONCE = 16

/**
 * The newest entry of a key; undefined where it has none, or it goes at this moment.
 * @throws WorkspaceError DIGEST_MISMATCH where it does not describe an artifact
 */
export async function newestOf(store: ArtifactStore, path: EntryPath): Promise<StoredEntry | undefined> {
  const newest = newestArtifact(await store.entries(path))
  if (!newest) return undefined
  return readEntry(store, path, newest.name).catch((error: unknown) => {
    if (error instanceof WorkspaceError && error.code === 'ARTIFACT_NOT_FOUND') return undefined
    throw error
  })
}

/**
 * Reads an entry's manifest and index, and looks for every blob.
 * @throws WorkspaceError ARTIFACT_NOT_FOUND, DIGEST_MISMATCH where something is missing or damaged
 */
export async function readWhole(blobs: BlobStore, entry: StoredEntry): Promise<Artifact> {
  const artifact = await readArtifact(blobs, entry)
  const look = async ({ digest, size }: { digest: string; size: number }): Promise<void> => {
    const found = await blobs.size(digest)
    if (found === undefined) throw missingBlob(digest, blobs.place)
    if (found === size) return
    throw new WorkspaceError('DIGEST_MISMATCH', `the blob ${digest} in ${blobs.place} is damaged`, {
      expected: `${size} bytes`,
      found: `${found} bytes`,
    })
  }
  for await (const _ of inOrder(artifact.manifest.layers, LOOKS_AT_ONCE, look));
  return artifact
}

/** Whether a failure says that an entry is gone or damaged, so that the cache does without it. */
export function isDamage(error: unknown): error is WorkspaceError {
  return error instanceof WorkspaceError && ['ARTIFACT_NOT_FOUND', 'DIGEST_MISMATCH'].includes(error.code)
}
