/** Retention decided as data: what goes, why, how many bytes. Pure; a dry run and a real one share it. */
import type { ActiveRun, Scan, Thing } from './scan.ts'

/** Times in ms. */
export interface Policy {
  completedRetention: number
  staleTimeout: number
  templateRetention: number
  cacheRetention: number
  trashRetention: number
  grace: number
}

export interface Action {
  action: 'archive' | 'trash' | 'purge'
  /** Relative to the root. */
  path: string
  why: string
  bytes: number
}

export interface Plan {
  actions: Action[]
  blocked: { path: string; why: string }[]
}

/** A temporary name is given up after this, whatever the policy: no writer takes a day. */
const LEFTOVER_MS = 24 * 3.6e6

export function makePlan(scan: Scan, policy: Policy): Plan {
  const plan: Plan = { actions: [], blocked: [...scan.blocked] }
  for (const run of scan.runs) decideRun(run, policy, plan)
  const expire = (things: Thing[], action: Action['action'], limitMs: number, what: string): void => {
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
  expire(scan.completed, 'trash', policy.completedRetention, 'archived')
  expire(scan.templates, 'trash', policy.templateRetention, 'last used')
  expire(scan.cache, 'trash', policy.cacheRetention, 'last used')
  expire(scan.trash, 'purge', policy.trashRetention, 'trashed')
  expire(scan.leftovers, 'purge', LEFTOVER_MS, 'left by a killed process')
  return plan
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

const hours = (ms: number): string => `${(ms / 3.6e6).toFixed(1)} h`
