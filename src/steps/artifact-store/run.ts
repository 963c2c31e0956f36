import { resolvePath, storeArtifact } from '../../artifacts/index.ts'
import { ensureVolume } from '../../volume/volume.ts'
import type { StepRun } from '../runtime.ts'
import type { contract } from './contract.ts'

export const run: StepRun<typeof contract> = async ({ params, workspaces, identity, emit, signal }) => {
  const volume = await ensureVolume(workspaces.shared!, emit)
  const source = await resolvePath(workspaces.source ?? volume.layout.content(identity.run.uid), params.path)
  const { output, overwrite } = params
  const stored = await storeArtifact({ volume, identity, source, output, overwrite, emit, signal })
  const { uri, digest } = stored
  return {
    ARTIFACT_OUTPUTS: { uri, digest },
    artifact: `${uri}@${digest}`,
    size: stored.bytes,
    files: stored.files,
  }
}
