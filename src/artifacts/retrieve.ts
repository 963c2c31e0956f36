/** Retrieves artifacts into a folder, verifying every byte. */
import type { Digest, Strategy } from '../stores/store.ts'
import { gather, type Chosen, type Wanted } from './gather.ts'
import { ofType } from './select.ts'
import { writeSelected } from './write-selected.ts'

export interface RetrieveRequest extends Wanted {
  /** The absolute path of a folder, which need not exist. */
  target: string
  signal: AbortSignal
}

export interface Retrieved {
  artifacts: { uri: string; digest: Digest; strategy: Strategy }[]
  files: number
}

/**
 * Writes the files of one or more artifacts into `target`; afterwards their tasks cannot replace them any more.
 * Where it fails, the target is as it was.
 * @throws WorkspaceError ARTIFACT_NOT_FOUND, DIGEST_MISMATCH, TARGET_CONFLICT, UNSAFE_PATH, RUN_NOT_FOUND
 */
export async function retrieveArtifacts(request: RetrieveRequest): Promise<Retrieved> {
  const { target, signal, emit } = request
  const { chosen, selected, blobs } = await gather(request)
  if (chosen.length > 0) await writeSelected(target, selected, blobs, signal)
  for (const one of chosen) emit({ event: 'artifact-retrieved', path: target, ...summary(one) })
  const artifacts = chosen.map(({ uri, digest, strategy }) => ({ uri, digest, strategy }))
  return { artifacts, files: ofType(selected, 'file').length }
}

function summary({ uri, digest, selected }: Chosen): {
  uri: string
  digest: Digest
  files: number
  bytes: number
} {
  const files = ofType(selected, 'file')
  return { uri, digest, files: files.length, bytes: files.reduce((sum, { entry }) => sum + entry.size, 0) }
}
