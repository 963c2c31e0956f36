/** The coordinator's disk is laid out as a shared volume, so what keeps a volume tidy keeps it tidy too. */
import type { Emit } from '../events.ts'
import { maintain } from '../retention/maintain.ts'
import type { Volume } from '../volume/volume.ts'

const HOUR = 3.6e6
const DAY = 24 * HOUR

/** As the maintenance CronJob has them. */
const POLICY = {
  completedRetention: DAY,
  staleTimeout: 6 * HOUR,
  templateRetention: 7 * DAY,
  cacheRetention: 3 * DAY,
  toolRetention: 7 * DAY,
  trashRetention: DAY,
  sweepAfter: DAY,
  grace: HOUR,
}
const SCRUB_BYTES = 10 * 1024 ** 3

/** Artifacts that nobody stored or retrieved for `days` go; which blobs are damaged is told. */
export async function applyRetention(
  volume: Volume,
  days: number,
  emit: Emit,
  signal: AbortSignal,
): Promise<void> {
  await maintain({
    volume,
    policy: { ...POLICY, artifactRetention: days * DAY },
    scrubBytes: SCRUB_BYTES,
    dryRun: false,
    // It has no rights on the API. No run lives so long without touching what it needs.
    liveness: async () => ({ state: 'gone', evidence: 'the coordinator goes by age alone' }),
    emit,
    signal,
  })
}
