import type { LockState } from '../../../src/locks/index.ts'
import { leaseName } from '../../../src/locks/lease/names.ts'
import { stateIn } from '../../../src/locks/lease/state.ts'
import type { Lease } from '../../../src/platform/kube-leases.ts'
import { getJson } from './cluster.ts'

/** What a lock that is a Lease adds up to; an empty state where there is none yet. */
export async function leaseState(namespace: string, lock: string): Promise<LockState> {
  const name = leaseName(lock)
  const { items } = await getJson<{ items: Lease[] }>(namespace, 'leases')
  return stateIn(
    items.find((lease) => lease.metadata.name === name),
    lock,
  )
}
