import { applyPlan } from '../../retention/apply.ts'
import { makePlan } from '../../retention/plan.ts'
import { scanVolume } from '../../retention/scan.ts'
import { openVolume } from '../../volume/volume.ts'
import type { StepRun } from '../runtime.ts'
import type { contract } from './contract.ts'

export const run: StepRun<typeof contract> = async ({ params, workspaces, emit, liveness, signal }) => {
  const volume = await openVolume(workspaces.shared!)
  const { dryRun, ...policy } = params
  const plan = makePlan(await scanVolume(volume, liveness), policy)
  for (const { action, path, why, bytes } of plan.actions) {
    emit({ event: 'retention-planned', action, path, why, bytes, dryRun })
  }
  for (const { path, why } of plan.blocked) emit({ event: 'retention-blocked', path, why })
  const { removed, freedBytes } = await applyPlan(volume, dryRun ? [] : plan.actions, emit, signal)
  return { removed, 'freed-bytes': freedBytes }
}
