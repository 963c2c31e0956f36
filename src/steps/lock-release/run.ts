import { release } from '../../locks/index.ts'
import { openVolume } from '../../volume/volume.ts'
import type { StepRun } from '../runtime.ts'
import type { contract } from './contract.ts'

export const run: StepRun<typeof contract> = async ({ params, workspaces, identity, emit }) => {
  const volume = await openVolume(workspaces.shared!)
  return { ...(await release(volume, params.name, { identity, epoch: params.epoch, emit })) }
}
