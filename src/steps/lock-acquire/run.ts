import { acquire, volumeLocks } from '../../locks/index.ts'
import { probeOnce } from '../../volume/probe.ts'
import { ensureVolume } from '../../volume/volume.ts'
import type { StepRun } from '../runtime.ts'
import type { contract } from './contract.ts'

export const run: StepRun<typeof contract> = async ({
  params,
  workspaces,
  identity,
  liveness,
  emit,
  signal,
}) => {
  const volume = await ensureVolume(workspaces.shared!, emit)
  await probeOnce(volume, emit)
  const { name, policy, scope, priority, timeout: timeoutMs, maxHold: maxHoldMs } = params
  const terms = { scope, policy, timeoutMs, maxHoldMs, priority }
  const outcome = await acquire(volumeLocks(volume), name, { ...terms, identity, liveness, emit, signal })
  return {
    epoch: outcome.acquired ? outcome.epoch : '',
    holder: outcome.holder,
    'waited-ms': outcome.waitedMs,
  }
}
