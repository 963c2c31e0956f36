/** Locks as Leases of the Kubernetes API, which excludes by comparing versions: no volume takes part in them. */
import type { Leases } from '../../platform/kube-leases.ts'
import type { LockBackend } from '../backend.ts'
import { changeLease } from './change.ts'
import { listBeats, removeBeats, startBeating } from './beats.ts'
import { leaseName } from './names.ts'
import { LABELS, lockIn, stateIn } from './state.ts'

export function leaseLocks(leases: Leases): LockBackend {
  return {
    open(name) {
      const lease = leaseName(name)
      const read = async () => stateIn(await leases.get(lease), name)
      const beats = () => listBeats(leases, name)
      return {
        name,
        // The first change makes the Lease.
        prepare: async () => {},
        read,
        change: (decide) => changeLease(leases, name, decide),
        beats,
        startBeating: (ticket, everyMs) => startBeating(leases, name, ticket, everyMs),
        async removeBeats() {
          // With the ticket goes what killed processes left. Whoever beats is in the lock before its first beat.
          const beating = await beats()
          if (beating.size === 0) return
          const { holders, queue } = await read()
          const inside = new Set([...holders, ...queue].map(({ request }) => request.ticket))
          await removeBeats(
            leases,
            name,
            [...beating.keys()].filter((ticket) => !inside.has(ticket)),
          )
        },
      }
    },
    async names() {
      const selector = Object.entries(LABELS).map(([key, value]) => `${key}=${value}`)
      const found = await leases.list(selector.join())
      return found
        .map(lockIn)
        .filter((lock) => lock !== undefined)
        .sort()
    },
  }
}
