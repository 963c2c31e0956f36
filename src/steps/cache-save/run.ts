import { resolvePath } from '../../artifacts/index.ts'
import { forPlatform, renderKey, saveCache, scopesOf } from '../../cache/index.ts'
import { onFirstAvailable } from '../../stores/open.ts'
import { layoutOf } from '../../volume/layout.ts'
import { baseFolder } from '../base-folder.ts'
import type { StepRun } from '../runtime.ts'
import { storesFor } from '../stores.ts'
import type { contract } from './contract.ts'

export const run: StepRun<typeof contract> = async (context) => {
  const { params, workspaces, identity, change, emit, signal } = context
  const { path, policy, maxSize: maxBytes } = params
  const key = await renderKey(params.key, () => baseFolder('source', '.', context))
  const scope = scopesOf(change, { scope: params.scope, fallbackScopes: [] }).own
  const nothing = { saved: 'false', key, files: 0, bytes: 0 }
  if (policy === 'read') {
    emit({ event: 'cache-skipped', scope, key, why: 'the policy is read' })
    return nothing
  }
  const source = await resolvePath(baseFolder('source', path, context), path)
  const stores = storesFor(context, { initialise: true })
  const kept = params.platform ? forPlatform(key) : key
  const { used, saved } = await onFirstAvailable(stores, emit, async (store) => {
    const layout = store.strategy === 'pvc' && workspaces.shared ? layoutOf(workspaces.shared) : undefined
    const request = { store, layout, scope, key: kept, source, maxBytes, identity, emit, signal }
    return { used: store.strategy, saved: await saveCache(request) }
  })
  return saved ? { saved: 'true', key, ...saved, strategy: used } : { ...nothing, strategy: used }
}
