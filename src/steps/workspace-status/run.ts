import { describeLock, formatLock } from '../../locks/index.ts'
import { formatStatus, readStatus, setStatus } from '../../volume/status.ts'
import { openVolume } from '../../volume/volume.ts'
import { openLocks } from '../locks.ts'
import type { StepRun } from '../runtime.ts'
import type { contract } from './contract.ts'

export const run: StepRun<typeof contract> = async (context) => {
  const { params, workspaces, identity, emit, print } = context
  const { layout } = await openVolume(workspaces.shared!)
  const runId = params.run ?? identity.run.uid
  const { phase, agent, message, lock, format } = params
  if (phase !== '') {
    await setStatus(layout.run(runId), agent, { phase, message, by: identity.taskRun.name })
    emit({ event: 'status-set', runId, phase, ...(agent ? { agent } : {}) })
  }
  if (lock) {
    const locks = await openLocks({ ...context, params: { backend: undefined } }, { acquires: false })
    const state = await describeLock(locks, lock)
    print(format === 'json' ? JSON.stringify({ v: 1, lock, ...state }) : formatLock(lock, state))
    return { phase }
  }
  const status = await readStatus(layout.run(runId))
  print(format === 'json' ? JSON.stringify(status) : formatStatus(status))
  return { phase: agent ? (status.agents[agent]?.phase ?? 'Pending') : status.phase }
}
