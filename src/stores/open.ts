/** Opens the stores that a configuration names, in their order; each only when it is needed. */
import type { Configuration } from '../configuration.ts'
import { toWorkspaceError, WorkspaceError, type ErrorCode } from '../errors.ts'
import type { Emit } from '../events.ts'
import { ensureVolume, openVolume } from '../volume/volume.ts'
import type { ArtifactStore, Strategy } from './store.ts'
import { volumeArtifacts } from './volume-artifacts.ts'

/** A store that is opened at most once. */
export interface StoreOpener {
  strategy: Strategy
  /** @throws WorkspaceError where it is not configured or cannot be reached */
  open(): Promise<ArtifactStore>
}

export interface StoresRequest {
  /** In the order in which they are tried; not empty. */
  strategies: readonly Strategy[]
  configuration: Configuration
  /** Where the shared volume is mounted, if it is. */
  volumePath: string | undefined
  /** Whether a volume without a marker becomes one. */
  initialise: boolean
  emit: Emit
  signal: AbortSignal
}

/** Prepares the stores; nothing is opened yet. */
export function storesOf(request: StoresRequest): StoreOpener[] {
  return request.strategies.map((strategy) => {
    let opened: Promise<ArtifactStore> | undefined
    return { strategy, open: () => (opened ??= OPEN[strategy](request)) }
  })
}

/** An opener for a store that is there already. */
export const opened = (store: ArtifactStore): StoreOpener => ({
  strategy: store.strategy,
  open: async () => store,
})

const OPEN: Record<Strategy, (request: StoresRequest) => Promise<ArtifactStore>> = {
  async pvc({ volumePath, initialise, emit }) {
    if (volumePath)
      return volumeArtifacts(await (initialise ? ensureVolume(volumePath, emit) : openVolume(volumePath)))
    throw new WorkspaceError('STORAGE_NOT_MOUNTED', 'the workspace shared is not bound', {
      expected: 'the shared volume, for the strategy pvc',
      found: 'no such workspace',
      hint: 'bind the workspace shared, or set the strategy to s3 or coordinator',
    })
  },
  async s3({ configuration: c, emit, signal }) {
    const bucket = required(c.ARTIFACT_S3_BUCKET, 'SHARED_WORKSPACE_ARTIFACT_S3_BUCKET', 's3')
    const { s3Artifacts } = await import('./s3/s3-artifacts.ts')
    const { S3_ACCESS_KEY_ID: accessKeyId, S3_SECRET_ACCESS_KEY: secretAccessKey } = c
    const sessionToken = c.S3_SESSION_TOKEN
    return s3Artifacts({
      bucket,
      prefix: c.ARTIFACT_S3_PREFIX,
      region: c.ARTIFACT_S3_REGION,
      pathStyle: c.ARTIFACT_S3_PATH_STYLE ?? c.ARTIFACT_S3_ENDPOINT !== undefined,
      ca: c.ARTIFACT_S3_CA,
      cleanupDays: c.ARTIFACT_CLEANUP_DAYS,
      emit,
      signal,
      ...(c.ARTIFACT_S3_ENDPOINT ? { endpoint: c.ARTIFACT_S3_ENDPOINT } : {}),
      ...(accessKeyId && secretAccessKey
        ? { credentials: { accessKeyId, secretAccessKey, ...(sessionToken ? { sessionToken } : {}) } }
        : {}),
    })
  },
  async coordinator({ configuration: c, emit, signal }) {
    const name = 'SHARED_WORKSPACE_ARTIFACT_COORDINATOR_URL'
    const url = required(c.ARTIFACT_COORDINATOR_URL, name, 'coordinator')
    const token = required(c.COORDINATOR_TOKEN, 'the Secret shared-workspace-coordinator', 'coordinator')
    const { coordinatorArtifacts } = await import('./coordinator/coordinator-artifacts.ts')
    return coordinatorArtifacts({ url, token, ca: c.ARTIFACT_COORDINATOR_CA, emit, signal })
  },
}

function required(value: string | undefined, name: string, strategy: Strategy): string {
  if (value) return value
  throw new WorkspaceError('USAGE', `the strategy ${strategy} needs ${name}`, {
    expected: `${name}, in the environment or in the namespace`,
    found: 'nothing',
    hint: 'see "Where artifacts are kept" in the README',
  })
}

/** What one store's failure says of that store, not of what was asked: another store may do better. */
const UNAVAILABLE: readonly ErrorCode[] = [
  'STORAGE_NOT_MOUNTED',
  'NOT_WRITABLE',
  'NO_SPACE',
  'STORAGE_IO',
  'FORMAT_UNSUPPORTED',
  'STORE_UNAVAILABLE',
  'STORE_DENIED',
]

/**
 * Does `work` on the first store that can do it. Each fallback to the next is told, none is silent.
 * @throws what the last store failed with, or at once what is no failure of a store
 */
export async function onFirstAvailable<T>(
  stores: readonly StoreOpener[],
  emit: Emit,
  work: (store: ArtifactStore) => Promise<T>,
): Promise<T> {
  for (const [i, opener] of stores.entries()) {
    try {
      return await work(await opener.open())
    } catch (error) {
      const { code, message } = toWorkspaceError(error)
      const next = stores[i + 1]
      if (!next || !UNAVAILABLE.includes(code)) throw error
      emit({
        event: 'artifact-fallback',
        from: opener.strategy,
        to: next.strategy,
        why: `${code}: ${message}`,
      })
    }
  }
  throw new WorkspaceError('USAGE', 'no strategy was given', { expected: 'at least one strategy' })
}

/**
 * Does `work` on every store that can do it; what cannot is told.
 * @throws what the last store failed with where none could, or at once what is no failure of a store
 */
export async function onAllAvailable<T>(
  stores: readonly StoreOpener[],
  emit: Emit,
  work: (store: ArtifactStore) => Promise<T>,
): Promise<T[]> {
  const results: T[] = []
  for (const [i, opener] of stores.entries()) {
    try {
      results.push(await work(await opener.open()))
    } catch (error) {
      const { code, message } = toWorkspaceError(error)
      const wasTheLastHope = i === stores.length - 1 && results.length === 0
      if (!UNAVAILABLE.includes(code) || wasTheLastHope) throw error
      emit({
        event: 'warning',
        about: `the strategy ${opener.strategy} was left out`,
        detail: `${code}: ${message}`,
      })
    }
  }
  return results
}
