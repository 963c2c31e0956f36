/** Retention decided as data: what goes, why, how many bytes. Pure; a dry run and a real one share it. */
import type { Digest } from '../stores/store.ts'
import { decideArtifacts } from './decide-artifacts.ts'
import { hours } from './hours.ts'
import type { Mark } from './mark.ts'
import type { MarkRecord } from './mark-record.ts'
import type { ActiveRun, Scan, Thing } from './scan.ts'

/** Times in ms. */
export interface Policy {
  completedRetention: number
  staleTimeout: number
  artifactRetention: number
  templateRetention: number
  cacheRetention: number
  toolRetention: number
  trashRetention: number
  /** How long a blob stays unreferenced before it is swept, and swept before it is purged. */
  sweepAfter: number
  grace: number
}

/**
 * The least `sweepAfter` that is safe. A writer that finds a blob in the store refers to it later; in between, a
 * sweep and a purge may both fall only if that takes longer than `sweepAfter`. It includes what the nodes' clocks
 * may differ by where they stamp files themselves (CephFS).
 */
export const SWEEP_AFTER_MIN = 3.6e6

interface Common {
  /** Relative to the root. */
  path: string
  why: string
  bytes: number
}

export type Action =
  | (Common & { action: 'archive' | 'trash' | 'purge' })
  /** Blobs into trash, and a batch of them out of it. */
  | (Common & { action: 'sweep' | 'purge-blobs'; blobs: Digest[] })

export interface Plan {
  /** In the order in which they are done: what gives room comes first, so that the rest works on a full disk. */
  actions: Action[]
  blocked: { path: string; why: string }[]
  /** What the next mark has to know; undefined where this one could not read everything. */
  record: MarkRecord | undefined
}

/** A temporary name is given up after this, whatever the policy: no writer takes a day. */
const LEFTOVER_MS = 24 * 3.6e6
/** Whoever stores what has not changed for longer reads it once more, and notes it again. */
const NOTE_MS = 7 * 24 * 3.6e6

export function makePlan(scan: Scan, policy: Policy): Plan {
  const plan: Plan = { actions: [], blocked: [...scan.blocked], record: undefined }
  const expire = (things: Thing[], action: 'trash' | 'purge', limitMs: number, what: string): void => {
    for (const { path, bytes, ageMs, quietMs } of things) {
      // What is in the trash is quiet by nature: its age is all that counts.
      if (ageMs < limitMs || (action === 'trash' && quietMs < policy.grace)) continue
      plan.actions.push({
        action,
        path,
        bytes,
        why: `${what} ${hours(ageMs)} ago, kept for ${hours(limitMs)}`,
      })
    }
  }
  expire(scan.trash, 'purge', policy.trashRetention, 'trashed')
  expire(scan.leftovers, 'purge', LEFTOVER_MS, 'left by a killed process')
  expire(scan.notes, 'purge', NOTE_MS, 'noted')
  const { mark } = scan
  if (mark.problems.length === 0) purgeBlobs(mark, policy, plan)
  for (const run of scan.runs) decideRun(run, policy, plan)
  expire(scan.completed, 'trash', policy.completedRetention, 'archived')
  decideArtifacts(scan.outputs, policy, plan)
  expire(scan.templates, 'trash', policy.templateRetention, 'last used')
  expire(scan.cache, 'trash', policy.cacheRetention, 'last used')
  expire(scan.tools, 'trash', policy.toolRetention, 'no fleet is on it; last used')
  expire(scan.consumers, 'trash', policy.toolRetention, 'last heard of')
  if (mark.problems.length === 0) sweep(mark, policy, plan)
  else plan.blocked.push(...mark.problems, notSwept(mark))
  // Several may have come across the same one.
  plan.blocked = [...new Map(plan.blocked.map((one) => [one.path, one])).values()]
  return plan
}

function purgeBlobs({ batches, startMs }: Mark, { sweepAfter }: Policy, plan: Plan): void {
  for (const { path, blobs, bytes, sweptMs } of batches) {
    if (startMs - sweptMs < sweepAfter) continue
    const why = `swept ${hours(startMs - sweptMs)} ago, and nothing refers to them`
    plan.actions.push({ action: 'purge-blobs', path, blobs, bytes, why })
  }
}

/** One action for all blobs, and the record of those that have to wait. */
function sweep({ unreferenced, before, startMs, endMs }: Mark, { sweepAfter }: Policy, plan: Plan): void {
  const record: MarkRecord = new Map()
  const blobs: Digest[] = []
  let bytes = 0
  for (const [digest, size] of unreferenced) {
    const since = before.get(digest) ?? endMs
    if (startMs - since < sweepAfter) {
      record.set(digest, since)
      continue
    }
    blobs.push(digest)
    bytes += size
  }
  plan.record = record
  if (blobs.length === 0) return
  const why = `nothing has referred to ${blobs.length} blobs for ${hours(sweepAfter)}`
  plan.actions.push({ action: 'sweep', path: 'store/blobs', blobs, bytes, why })
}

function notSwept({ problems }: Mark): Plan['blocked'][number] {
  const why = `blobs are neither swept nor purged: ${problems.length} that may refer to them cannot be read`
  return { path: 'store/blobs', why }
}

function decideRun(run: ActiveRun, policy: Policy, plan: Plan): void {
  const { path, bytes, quietMs, verdict } = run
  if (verdict.state === 'alive') return
  if (verdict.state === 'unknown') {
    // A closed run said itself that it was over; an open one may be alive for all we know.
    if (!run.closed)
      plan.blocked.push({ path, why: `open, and nothing tells whether it is alive: ${verdict.why}` })
    else if (quietMs >= policy.grace) plan.actions.push({ action: 'archive', path, bytes, why: 'closed' })
    return
  }
  if (run.closed)
    plan.actions.push({ action: 'archive', path, bytes, why: `closed, and ${verdict.evidence}` })
  else if (quietMs >= Math.max(policy.staleTimeout, policy.grace)) {
    plan.actions.push({
      action: 'archive',
      path,
      bytes,
      why: `stale for ${hours(quietMs)}: ${verdict.evidence}`,
    })
  }
}
