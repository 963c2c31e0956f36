import { readOneFile, resolvePath, retrieveArtifacts } from '../../artifacts/index.ts'
import { baseFolder } from '../base-folder.ts'
import type { StepRun } from '../runtime.ts'
import { storesFor } from '../stores.ts'
import type { contract } from './contract.ts'

export const run: StepRun<typeof contract> = async (context) => {
  const { params, identity, emit, signal } = context
  const { path, strategy: _, ...wanted } = params
  const output = path === '-' ? context.takeStdout() : undefined
  const stores = storesFor(context, { initialise: false })
  const request = { ...wanted, stores, identity, emit }
  const { artifacts, files } = output
    ? await readOneFile(request, output)
    : await retrieveArtifacts({
        ...request,
        target: await resolvePath(baseFolder('target', path, context), path),
        signal,
      })
  const [only, ...more] = artifacts
  const used = [...new Set(artifacts.map((artifact) => artifact.strategy))].join(',')
  return {
    files,
    ...(used ? { strategy: used } : {}),
    ...(only && more.length === 0 ? { ARTIFACT_INPUTS: { uri: only.uri, digest: only.digest } } : {}),
  }
}
