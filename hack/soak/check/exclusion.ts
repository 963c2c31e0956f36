import type { Hold, Violation } from './types.ts'

/** Holds of one lock, sorted by when they were got: no two at a time, and each with a higher epoch than the last. */
export function checkExclusion(lock: string, holds: readonly Hold[]): Violation[] {
  return [...overlaps(lock, holds), ...wrongEpochs(lock, holds)]
}

function* overlaps(lock: string, holds: readonly Hold[]): Generator<Violation> {
  let longest: Hold | undefined
  for (const hold of holds) {
    // One that was lost before its holder heard of it excludes nobody.
    if (hold.until <= hold.from) continue
    if (longest && hold.from < longest.until) {
      const ms = ((Math.min(longest.until, hold.until) - hold.from) / 1000).toFixed(1)
      const what = `${longest.worker} with epoch ${longest.epoch} and ${hold.worker} with epoch ${hold.epoch} both held it for ${ms} ms`
      yield { rule: 'one holder', lock, what, evidence: [longest, hold] }
    }
    if (!longest || hold.until > longest.until) longest = hold
  }
}

function* wrongEpochs(lock: string, holds: readonly Hold[]): Generator<Violation> {
  let highest: Hold | undefined
  const grants = holds.toSorted((a, b) => a.granted - b.granted)
  const known = holds.values()
  let next = known.next().value
  for (const hold of grants) {
    // What was in its holder's hands before this one was granted.
    for (; next && next.from < hold.granted; next = known.next().value) {
      if (!highest || next.epoch > highest.epoch) highest = next
    }
    if (highest && hold.epoch <= highest.epoch) {
      const what = `epoch ${hold.epoch} was granted to ${hold.worker} after epoch ${highest.epoch} to ${highest.worker}`
      yield { rule: 'epochs grow', lock, what, evidence: [highest, hold] }
    }
  }
  const seen = new Map<number, Hold>()
  for (const hold of holds) {
    const other = seen.get(hold.epoch)
    if (other) {
      const what = `epoch ${hold.epoch} was given to ${other.worker} and to ${hold.worker}`
      yield { rule: 'epochs grow', lock, what, evidence: [other, hold] }
    }
    seen.set(hold.epoch, hold)
  }
}
