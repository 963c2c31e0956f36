/** Stores a file or folder as an artifact of this run and task. */
import { join } from 'node:path'
import { WorkspaceError } from '../errors.ts'
import type { Emit } from '../events.ts'
import type { Identity } from '../identity.ts'
import type { BlobStore, Digest } from '../stores/store.ts'
import { volumeStore } from '../stores/volume-store.ts'
import { publishEntry, type Entry } from '../volume/publish.ts'
import type { Volume } from '../volume/volume.ts'
import { newestArtifact, publishArtifact, readEntry, UNFENCED } from './entry.ts'
import { CONTENT_ANNOTATIONS } from './format.ts'
import { readManifest } from './manifest.ts'
import { uriOf } from './reference.ts'
import { storeContent } from './store-content.ts'

export interface StoreRequest {
  volume: Volume
  identity: Identity
  /** The absolute path of a folder or file. */
  source: string
  output: string
  /** Replaces other content, whoever stored it and whoever has retrieved it. */
  overwrite: boolean
  emit: Emit
  signal: AbortSignal
}

export interface StoredArtifact {
  uri: string
  digest: Digest
  files: number
  /** Bytes of the files. */
  bytes: number
}

/**
 * Stores `source` and publishes it under `<run>/<task>/<output>`. Content that is there already costs no new
 * bytes; the same content under the same name is no change at all.
 * @throws WorkspaceError ARTIFACT_EXISTS, SOURCE_CHANGED, SOURCE_NOT_FOUND, UNSAFE_PATH, UNSUPPORTED_FILE;
 *   nothing is published then
 */
export async function storeArtifact(request: StoreRequest): Promise<StoredArtifact> {
  const { volume, identity, output, emit } = request
  const uri = uriOf({ volumeId: volume.id, runId: identity.run.uid, task: identity.task, output })
  const folder = volume.layout.artifact(identity.run.uid, identity.task, output)
  const store = volumeStore(volume.layout)
  const { manifest, content, newBytes } = await storeContent(store, request.source, request.signal)
  const result = { uri, digest: manifest.digest, files: content.files, bytes: content.bytes }
  let unchanged: Digest | undefined
  await publishEntry(folder, UNFENCED, async (entries, path) => {
    request.signal.throwIfAborted()
    unchanged = await currentIfEqual(request, store, folder, entries, uri, content.digest)
    return unchanged ? undefined : publishArtifact(path, volume.layout, manifest, output, identity)
  })
  if (unchanged) {
    emit({ event: 'artifact-unchanged', uri, digest: unchanged })
    return { ...result, digest: unchanged }
  }
  emit({ event: 'artifact-stored', ...result, newBytes })
  return result
}

/**
 * The digest of the newest entry where it holds the same content; undefined where it may be replaced, or there
 * is none. @throws WorkspaceError ARTIFACT_EXISTS where it may not be replaced
 */
async function currentIfEqual(
  { identity, overwrite }: StoreRequest,
  store: BlobStore,
  folder: string,
  entries: readonly Entry[],
  uri: string,
  contentDigest: Digest,
): Promise<Digest | undefined> {
  const newest = newestArtifact(entries)
  if (!newest) return undefined
  const stored = await readEntry(join(folder, newest.name))
  const found = (await readManifest(store, stored)).annotations[CONTENT_ANNOTATIONS.contentDigest] ?? 'none'
  if (found === contentDigest) return stored.digest
  const sealed = entries.at(-1) !== newest
  const isRetry = stored.podUid !== identity.pod.uid
  if (overwrite || (isRetry && !sealed)) return undefined
  throw new WorkspaceError('ARTIFACT_EXISTS', `${uri} was stored with other content, ${because(sealed)}`, {
    expected: `content ${found}`,
    found: `content ${contentDigest}`,
    hint: 'store it under another output name, or set overwrite to true',
  })
}

function because(sealed: boolean): string {
  return sealed ? 'and somebody has retrieved that' : 'and by this same pod'
}
