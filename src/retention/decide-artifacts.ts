/** Which outputs go. Pure. */
import { hours } from './hours.ts'
import type { Output } from './outputs.ts'
import type { Plan, Policy } from './plan.ts'

/**
 * An output goes when nothing was added to it for `artifactRetention` and its run is gone, unless it is pinned or
 * holds the newest good artifact of its name.
 */
export function decideArtifacts(outputs: readonly Output[], policy: Policy, plan: Plan): void {
  const newest = newestGood(outputs)
  const unknown = new Map<string, string>()
  for (const output of outputs) {
    const { path, bytes, ageMs, quietMs, verdict } = output
    if (ageMs < policy.artifactRetention || quietMs < policy.grace) continue
    if (output.pinned || newest.get(output.name) === output || verdict?.state === 'alive') continue
    if (verdict?.state !== 'gone') {
      unknown.set(path.split('/').slice(0, 2).join('/'), verdict?.why ?? 'nobody was asked')
      continue
    }
    const why = `last stored or retrieved ${hours(ageMs)} ago, kept for ${hours(policy.artifactRetention)}, and ${verdict.evidence}`
    plan.actions.push({ action: 'trash', path, bytes, why })
  }
  for (const [path, why] of unknown)
    plan.blocked.push({ path, why: `old, and nothing tells whether its run is alive: ${why}` })
}

/** By name, the output with the newest good artifact. */
function newestGood(outputs: readonly Output[]): Map<string, Output> {
  const newest = new Map<string, Output>()
  for (const output of outputs) {
    if (output.goodSince === undefined) continue
    if (output.goodSince > (newest.get(output.name)?.goodSince ?? '')) newest.set(output.name, output)
  }
  return newest
}
