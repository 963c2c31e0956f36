/** Where a step's locks live: as its parameter says, else as its namespace is configured. */
import type { Configuration, LOCK_BACKENDS } from '../configuration.ts'
import { WorkspaceError } from '../errors.ts'
import type { Emit } from '../events.ts'
import type { Identity } from '../identity.ts'
import { leaseLocks, volumeLocks, type LockBackend } from '../locks/index.ts'
import type { Tuning } from '../locks/tuning.ts'
import { leasesHere } from '../platform/kube-leases.ts'
import { requireExclusion } from '../volume/across-nodes/record.ts'
import { probeOnce } from '../volume/probe.ts'
import { ensureVolume, openVolume } from '../volume/volume.ts'

interface Context {
  params: { backend: (typeof LOCK_BACKENDS)[number] | undefined }
  workspaces: { shared?: string }
  configuration: Configuration
  identity: Identity
  emit: Emit
}

interface Options {
  /** Whether the step acquires: then a volume without a marker becomes one, and one on which locks don't exclude is refused. */
  acquires: boolean
  /** For tests. */
  tuning?: Partial<Tuning>
}

/**
 * @throws WorkspaceError USAGE where the volume is not bound, STORAGE_NOT_MOUNTED, STORAGE_UNSAFE;
 * LOCK_BACKEND_UNAVAILABLE where there is no API.
 */
export async function openLocks(
  { params, workspaces, configuration, identity, emit }: Context,
  { acquires, tuning }: Options,
): Promise<LockBackend> {
  if ((params.backend ?? configuration.LOCK_BACKEND) === 'lease')
    return leaseLocks(leasesHere(identity.taskRun.namespace))
  const path = workspaces.shared
  if (!path) throw notBound()
  if (!acquires) return volumeLocks(await openVolume(path), tuning)
  const volume = await ensureVolume(path, emit)
  await probeOnce(volume, emit)
  await requireExclusion(volume)
  return volumeLocks(volume, tuning)
}

const notBound = (): WorkspaceError =>
  new WorkspaceError('USAGE', 'locks on the volume need the volume', {
    expected: 'the workspace shared',
    found: 'a workspace that is not bound',
    hint: 'bind the workspace shared, or keep locks as Leases (backend: lease)',
  })
