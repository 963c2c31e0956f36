/** What the rest of the product may use of the cache. */
export { evictCache, type EvictRequest } from './evict.ts'
export { forPlatform, renderKey } from './key.ts'
export { restoreCache, type Restored, type RestoreRequest } from './restore.ts'
export { saveCache, type Saved, type SaveRequest } from './save.ts'
export { scopesOf, type Scopes } from './scope.ts'
