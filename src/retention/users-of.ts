import { uriOf } from '../artifacts/reference.ts'
import type { Digest } from '../stores/store.ts'
import type { StoredLayout } from './layouts.ts'

/** What a blob belongs to: the uris of artifacts, and the paths of what else is on the volume. */
export function usersOf(digest: Digest, layouts: readonly StoredLayout[], volumeId: string): string[] {
  const users = layouts
    .filter(({ blobs }) => blobs.includes(digest))
    .map(({ path }) => nameOf(path, volumeId))
  return [...new Set(users)].sort()
}

function nameOf(path: string, volumeId: string): string {
  const [root, runId, task, output] = path.split('/')
  if (root !== 'artifacts' || !runId || !task || !output) return path
  return uriOf({ place: `workspace://${volumeId}`, runId, task, output })
}
