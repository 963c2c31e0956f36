/** All of maintenance: looks, plans, carries the plan out, and scrubs. */
import type { Emit } from '../events.ts'
import { wallNow } from '../platform/clock.ts'
import type { Liveness } from '../volume/liveness.ts'
import type { Volume } from '../volume/volume.ts'
import { applyPlan, type Applied } from './apply.ts'
import { fileNow } from './file-clock.ts'
import type { Mark } from './mark.ts'
import { makePlan, type Policy } from './plan.ts'
import { scanVolume } from './scan.ts'
import { planScrub, scrub, type Scrubbed, type ScrubPlan } from './scrub.ts'
import { usersOf } from './users-of.ts'

export interface Maintenance {
  volume: Volume
  policy: Policy
  /** How many bytes to re-hash; 0 for none. */
  scrubBytes: number
  /** Tells the plan and changes nothing. */
  dryRun: boolean
  liveness: Liveness
  emit: Emit
  signal: AbortSignal
}

export interface Maintained extends Applied, Scrubbed {
  /** Things that were left because they could not be read, moved or decided on. */
  blocked: number
}

/** Everything is done that can be; what it finds broken is told and counted, never thrown. */
export async function maintain(maintenance: Maintenance): Promise<Maintained> {
  const { volume, policy, liveness, dryRun, signal } = maintenance
  let blocked = 0
  const emit: Emit = (event) => {
    if (event.event === 'retention-blocked') blocked++
    maintenance.emit(event)
  }
  // A dry run makes no file, not even to learn the time.
  const now = dryRun ? async () => wallNow() : fileNow
  const scan = await scanVolume(volume, liveness, policy.artifactRetention, now)
  const plan = makePlan(scan, policy)
  const scrubPlan = await planScrub(volume.layout, scan.mark.blobs, maintenance.scrubBytes)
  for (const { action, path, why, bytes } of plan.actions)
    emit({ event: 'retention-planned', action, path, why, bytes, dryRun })
  if (scrubPlan.blobs.length > 0) emit({ event: 'retention-planned', ...describe(scrubPlan), dryRun })
  for (const { path, why } of plan.blocked) emit({ event: 'retention-blocked', path, why })
  tellMissing(scan.mark, volume, emit)
  const nothing = { removed: 0, freedBytes: 0, swept: 0, damaged: [], unreadable: 0 }
  if (dryRun) return { ...nothing, blocked }
  const applied = await applyPlan(volume, plan, emit, signal)
  const scrubbed = await scrub(volume, scrubPlan, scan.mark.layouts, emit, signal)
  return { ...applied, ...scrubbed, blocked }
}

const describe = ({ blobs, bytes }: ScrubPlan) => ({
  action: 'scrub',
  path: 'store/blobs',
  why: `re-hash ${blobs.length} blobs`,
  bytes,
})

function tellMissing({ missing, layouts }: Mark, { id }: Volume, emit: Emit): void {
  for (const digest of missing)
    emit({ event: 'blob-missing', digest, artifacts: usersOf(digest, layouts, id) })
}
