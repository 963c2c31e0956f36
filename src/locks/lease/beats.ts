/**
 * Heartbeats: one annotation per ticket in a Lease of their own, so that beats and changes of the lock are never in
 * each other's way. Only the ticket's owner counts its annotation up.
 */
import { jitter, sleep } from '../../platform/clock.ts'
import type { Leases } from '../../platform/kube-leases.ts'
import type { Beating, Beats } from '../backend.ts'
import { beatsName } from './names.ts'
import { LABELS } from './state.ts'

const PREFIX = 'beat.shared-workspace/'

export async function listBeats(leases: Leases, lock: string): Promise<Beats> {
  const lease = await leases.get(beatsName(lock))
  const annotations = Object.entries(lease?.metadata.annotations ?? {})
  return new Map(
    annotations
      .filter(([key]) => key.startsWith(PREFIX))
      .map(([key, n]) => [key.slice(PREFIX.length), Number(n)]),
  )
}

/** Beats at once and then every `everyMs` with jitter, until stopped. */
export function startBeating(leases: Leases, lock: string, ticket: string, everyMs: number): Beating {
  const stopping = new AbortController()
  let n = 0
  const loop = (async () => {
    while (!stopping.signal.aborted) {
      // One that fails is a late one; the promise leaves room for that.
      await beat(leases, lock, ticket, n++).catch(() => undefined)
      await sleep(jitter(everyMs), stopping.signal).catch(() => undefined)
    }
  })()
  return {
    async stop() {
      stopping.abort()
      await loop
      await removeBeats(leases, lock, [ticket])
    },
  }
}

async function beat(leases: Leases, lock: string, ticket: string, n: number): Promise<void> {
  const annotations = { [PREFIX + ticket]: String(n) }
  if (await leases.annotate(beatsName(lock), annotations)) return
  const labels = { ...LABELS, 'app.kubernetes.io/component': 'lock-heartbeats' }
  await leases.create({ metadata: { name: beatsName(lock), labels } })
  // Whoever made it.
  await leases.annotate(beatsName(lock), annotations)
}

export async function removeBeats(leases: Leases, lock: string, tickets: readonly string[]): Promise<void> {
  if (tickets.length === 0) return
  const annotations = Object.fromEntries(tickets.map((ticket) => [PREFIX + ticket, null]))
  await leases.annotate(beatsName(lock), annotations)
}
