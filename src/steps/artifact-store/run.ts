import { resolvePath, storeArtifact } from '../../artifacts/index.ts'
import { storesOf } from '../../stores/open.ts'
import { baseFolder } from '../base-folder.ts'
import type { StepRun } from '../runtime.ts'
import type { contract } from './contract.ts'

export const run: StepRun<typeof contract> = async (context) => {
  const { params, workspaces, configuration, identity, emit, signal } = context
  const { output, overwrite, strategy } = params
  const stores = storesOf({
    strategies: strategy ?? configuration.ARTIFACT_STRATEGY,
    configuration,
    volumePath: workspaces.shared,
    initialise: true,
    emit,
    signal,
  })
  const source = await resolvePath(baseFolder('source', params.path, context), params.path)
  const stored = await storeArtifact({ stores, identity, source, output, overwrite, emit, signal })
  const { uri, digest } = stored
  return {
    ARTIFACT_OUTPUTS: { uri, digest },
    artifact: `${uri}@${digest}`,
    size: stored.bytes,
    files: stored.files,
    strategy: stored.strategy,
  }
}
