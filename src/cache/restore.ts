/** Restores a folder that an earlier run saved. */
import { matching, writeSelected } from '../artifacts/index.ts'
import { WorkspaceError } from '../errors.ts'
import type { Emit } from '../events.ts'
import type { ArtifactStore, Digest } from '../stores/store.ts'
import { candidates, type Candidate, type Wanted } from './candidates.ts'
import { keyPath } from './path.ts'
import { recordUse } from './uses.ts'
import { isDamage, newestOf, readWhole } from './whole.ts'

export interface RestoreRequest extends Wanted {
  store: ArtifactStore
  /** The absolute path of a folder, which need not exist. */
  target: string
  emit: Emit
  signal: AbortSignal
}

export interface Restored extends Candidate {
  digest: Digest
  files: number
  /** Bytes of the files. */
  bytes: number
}

/**
 * Restores the best entry of which everything is there, every byte verified: all of it, or nothing. An entry that
 * turns out to be damaged is told and passed over. A target that holds other content is left as it is.
 * @returns undefined for a miss
 * @throws WorkspaceError UNSAFE_PATH
 */
export async function restoreCache(request: RestoreRequest): Promise<Restored | undefined> {
  const { store, key, scopes, target, emit } = request
  for await (const candidate of candidates(store, request, emit)) {
    try {
      const restored = await restoreOne(request, candidate)
      if (!restored) continue
      emit({ event: 'cache-restored', ...restored, path: target })
      await recordUse(store, keyPath(candidate.scope, candidate.key), emit)
      return restored
    } catch (error) {
      if (isDamage(error)) {
        emit({ event: 'cache-damaged', scope: candidate.scope, key: candidate.key, why: error.message })
        continue
      }
      if (!(error instanceof WorkspaceError) || error.code !== 'TARGET_CONFLICT') throw error
      const why = `${error.message}: ${error.found ?? ''}`
      emit({ event: 'cache-skipped', scope: candidate.scope, key: candidate.key, why })
      return undefined
    }
  }
  emit({ event: 'cache-missed', scope: scopes.own, key })
  return undefined
}

async function restoreOne(
  { store, target, signal }: RestoreRequest,
  candidate: Candidate,
): Promise<Restored | undefined> {
  signal.throwIfAborted()
  const entry = await newestOf(store, keyPath(candidate.scope, candidate.key))
  if (!entry) return undefined
  const artifact = await readWhole(store.blobs, entry)
  await writeSelected(target, matching(artifact, []), store.blobs, signal)
  const sizes = artifact.index.entries.flatMap((one) => (one.type === 'file' ? [one.size] : []))
  const bytes = sizes.reduce((sum, size) => sum + size, 0)
  return { ...candidate, digest: entry.digest, files: sizes.length, bytes }
}
