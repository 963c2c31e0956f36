/** Where cache entries are: `shared/cache/<scope>/<key>/<epoch>.<n>`. */
import type { EntryPath } from '../stores/store.ts'
import { checkName } from '../volume/layout.ts'
import { scopeFolder } from './scope.ts'

/** Below it are the scopes. */
export const CACHE: EntryPath = ['shared', 'cache']

export const scopePath = (scope: string): EntryPath => [...CACHE, scopeFolder(scope)]

/** @throws WorkspaceError UNSAFE_PATH for a key that cannot be a name */
export const keyPath = (scope: string, key: string): EntryPath => [...scopePath(scope), checkName(key, 'key')]

/** The uses of a key: entries `<yyyymmdd>.<hh>`, one for each hour in which it was restored. */
export const usesPath = (path: EntryPath): EntryPath => [...path, 'used']
