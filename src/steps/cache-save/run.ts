import { resolvePath } from '../../artifacts/index.ts'
import { forPlatform, renderKey, saveCache, scopesOf } from '../../cache/index.ts'
import { onFirstAvailable, storesOf } from '../../stores/open.ts'
import { layoutOf } from '../../volume/layout.ts'
import { baseFolder } from '../base-folder.ts'
import type { StepRun } from '../runtime.ts'
import type { contract } from './contract.ts'

export const run: StepRun<typeof contract> = async (context) => {
  const { params, workspaces, configuration, identity, change, emit, signal } = context
  const { path, policy, strategy, maxSize: maxBytes } = params
  const key = await renderKey(params.key, () => baseFolder('source', '.', context))
  const scope = scopesOf(change, { scope: params.scope, fallbackScopes: [] }).own
  const nothing = { saved: 'false', key, files: 0, bytes: 0 }
  if (policy === 'read') {
    emit({ event: 'cache-skipped', scope, key, why: 'the policy is read' })
    return nothing
  }
  const source = await resolvePath(baseFolder('source', path, context), path)
  const stores = storesOf({
    strategies: strategy ?? configuration.ARTIFACT_STRATEGY,
    configuration,
    volumePath: workspaces.shared,
    initialise: true,
    emit,
    signal,
  })
  const kept = params.platform ? forPlatform(key) : key
  const { used, saved } = await onFirstAvailable(stores, emit, async (store) => {
    const layout = store.strategy === 'pvc' && workspaces.shared ? layoutOf(workspaces.shared) : undefined
    const request = { store, layout, scope, key: kept, source, maxBytes, identity, emit, signal }
    return { used: store.strategy, saved: await saveCache(request) }
  })
  return saved ? { saved: 'true', key, ...saved, strategy: used } : { ...nothing, strategy: used }
}
