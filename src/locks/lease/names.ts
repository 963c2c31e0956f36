/** The names of Leases: valid for Kubernetes, and never the same for two locks. */
import { sha256 } from '../../platform/hash.ts'
import { checkName } from '../../volume/layout.ts'

/** What may stand in a Lease's name as it is. Without a dot, so that no name of the other kind is like it. */
const PLAIN = /^[a-z0-9]([a-z0-9-]*[a-z0-9])?$/

/**
 * The Lease of a lock: its name where Kubernetes takes that, else what is left of it and a hash.
 * @throws WorkspaceError UNSAFE_PATH for a name that no lock may have, wherever it lives.
 */
export function leaseName(lock: string): string {
  checkName(lock, 'lock name')
  if (PLAIN.test(lock)) return `shared-workspace-lock-${lock}`
  const readable = lock
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '-')
    .replace(/-$/, '')
  return `shared-workspace-lock-${readable}.${sha256(lock).slice(0, 16)}`
}

/** The Lease that carries the heartbeats of that lock. */
export const beatsName = (lock: string): string => `${leaseName(lock)}.beats`
