import { resolvePath, retrieveArtifacts } from '../../artifacts/index.ts'
import { openVolume } from '../../volume/volume.ts'
import type { StepRun } from '../runtime.ts'
import type { contract } from './contract.ts'

export const run: StepRun<typeof contract> = async ({ params, workspaces, identity, emit, signal }) => {
  const volume = await openVolume(workspaces.shared!)
  const { path, ...wanted } = params
  const target = await resolvePath(workspaces.target ?? volume.layout.content(identity.run.uid), path)
  const { artifacts, files } = await retrieveArtifacts({ ...wanted, volume, identity, target, emit, signal })
  const [only, ...more] = artifacts
  return { files, ...(only && more.length === 0 ? { ARTIFACT_INPUTS: only } : {}) }
}
