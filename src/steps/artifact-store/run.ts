import { resolvePath, storeArtifact } from '../../artifacts/index.ts'
import { baseFolder } from '../base-folder.ts'
import { fenceFor } from '../fence.ts'
import type { StepRun } from '../runtime.ts'
import { storesFor } from '../stores.ts'
import type { contract } from './contract.ts'

export const run: StepRun<typeof contract> = async (context) => {
  const { params, identity, emit, signal } = context
  const { output, overwrite } = params
  const stores = storesFor(context, { initialise: true })
  const source = await resolvePath(baseFolder('source', params.path, context), params.path)
  const fence = await fenceFor(context)
  const stored = await storeArtifact({ stores, identity, source, output, overwrite, fence, emit, signal })
  const { uri, digest } = stored
  return {
    ARTIFACT_OUTPUTS: { uri, digest },
    artifact: `${uri}@${digest}`,
    size: stored.bytes,
    files: stored.files,
    strategy: stored.strategy,
  }
}
