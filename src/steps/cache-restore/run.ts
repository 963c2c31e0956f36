import { resolvePath } from '../../artifacts/index.ts'
import { forPlatform, renderKey, restoreCache, scopesOf } from '../../cache/index.ts'
import { onFirstAvailable } from '../../stores/open.ts'
import { baseFolder } from '../base-folder.ts'
import type { StepRun } from '../runtime.ts'
import { storesFor } from '../stores.ts'
import type { contract } from './contract.ts'

export const run: StepRun<typeof contract> = async (context) => {
  const { params, change, emit, signal } = context
  const { path, policy } = params
  const fill = (template: string): Promise<string> =>
    renderKey(template, () => baseFolder('source', '.', context))
  const asKept = (key: string): string => (params.platform ? forPlatform(key) : key)
  const key = await fill(params.key)
  const scopes = scopesOf(change, params)
  const miss = { hit: 'none', key, files: 0, bytes: 0 }
  if (policy === 'write') {
    emit({ event: 'cache-skipped', scope: scopes.own, key, why: 'the policy is write' })
    return miss
  }
  const prefixes: string[] = []
  for (const prefix of params.restoreKeys) prefixes.push(asKept(await fill(prefix)))
  const target = await resolvePath(baseFolder('source', path, context), path)
  const stores = storesFor(context, { initialise: true })
  const { used, restored } = await onFirstAvailable(stores, emit, async (store) => ({
    used: store.strategy,
    restored: await restoreCache({ store, key: asKept(key), prefixes, scopes, target, emit, signal }),
  }))
  if (!restored) return { ...miss, strategy: used }
  const { exact, digest, files, bytes } = restored
  const matched = restored.key.slice(asKept('').length)
  return {
    hit: exact ? 'exact' : 'partial',
    key,
    'matched-key': matched,
    digest,
    files,
    bytes,
    strategy: used,
  }
}
