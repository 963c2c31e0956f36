import { formatStatus, readStatus, setStatus } from '../../volume/status.ts'
import { openVolume } from '../../volume/volume.ts'
import type { StepRun } from '../runtime.ts'
import type { contract } from './contract.ts'

export const run: StepRun<typeof contract> = async ({ params, workspaces, identity, emit, print }) => {
  const { layout } = await openVolume(workspaces.shared!)
  const runId = params.run ?? identity.run.uid
  const { phase, agent, message } = params
  if (phase !== '') {
    await setStatus(layout.run(runId), agent, { phase, message, by: identity.taskRun.name })
    emit({ event: 'status-set', runId, phase, ...(agent ? { agent } : {}) })
  }
  const status = await readStatus(layout.run(runId))
  print(params.format === 'json' ? JSON.stringify(status) : formatStatus(status))
  return { phase: agent ? (status.agents[agent]?.phase ?? 'Pending') : status.phase }
}
