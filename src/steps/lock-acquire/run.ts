import { acquire } from '../../locks/index.ts'
import { openLocks } from '../locks.ts'
import type { StepRun } from '../runtime.ts'
import type { contract } from './contract.ts'

export const run: StepRun<typeof contract> = async (context) => {
  const { params, identity, liveness, emit, signal } = context
  const locks = await openLocks(context, { acquires: true })
  const { name, mode, limit, policy, scope, priority, timeout: timeoutMs, maxHold: maxHoldMs } = params
  const terms = { mode, limit, scope, policy, timeoutMs, maxHoldMs, priority }
  const outcome = await acquire(locks, name, { ...terms, identity, liveness, emit, signal })
  return {
    epoch: outcome.acquired ? outcome.epoch : '',
    holder: outcome.holder,
    'waited-ms': outcome.waitedMs,
  }
}
