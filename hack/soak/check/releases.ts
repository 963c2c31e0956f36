import type { Call } from '../history.ts'
import { ended, succeeded, type Hold, type Violation } from './types.ts'

/** A release ends the hold of whoever calls it, or none. `meddling`: releases of holds of others. */
export function* checkReleases(
  lock: string,
  holds: readonly Hold[],
  meddling: readonly Call[],
): Generator<Violation> {
  for (const call of meddling.filter(succeeded)) {
    const what = `${call.worker} released epoch ${call.epoch} of another`
    yield { rule: 'release of one’s own', lock, what, evidence: [call] }
  }
  for (const hold of holds) {
    const { release, worker, epoch, lost } = hold
    if (!release) continue
    const isStale = release.error?.code === 'STALE_LOCK' || release.error?.code === 'LOCK_NOT_HELD'
    if (isStale && lost > ended(release)) {
      const what = `${worker} kept its promises, and epoch ${epoch} was taken from it: ${release.error!.why}`
      yield { rule: 'one holder', lock, what, evidence: [hold] }
    }
    const successor = holds.find(
      (other) => other.epoch > epoch && other.from > hold.from && other.from < release.invoked,
    )
    if (succeeded(release) && successor) {
      const what = `${worker} was told to have released epoch ${epoch}, which ${successor.worker} had superseded`
      yield { rule: 'release of one’s own', lock, what, evidence: [hold, successor] }
    }
  }
}
