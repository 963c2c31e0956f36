/** What a relative path of a step is relative to. */
import { isAbsolute } from 'node:path'
import { WorkspaceError } from '../errors.ts'
import type { Identity } from '../identity.ts'
import { layoutOf } from '../volume/layout.ts'

/**
 * The workspace `name`, else the run's content folder on the shared volume.
 * @throws WorkspaceError USAGE for a relative path where neither is bound
 */
export function baseFolder<N extends string>(
  name: N,
  path: string,
  { workspaces, identity }: { workspaces: Partial<Record<N | 'shared', string>>; identity: Identity },
): string {
  const bound = workspaces[name]
  if (bound) return bound
  if (workspaces.shared) return layoutOf(workspaces.shared).content(identity.run.uid)
  if (isAbsolute(path)) return '/'
  throw new WorkspaceError(
    'USAGE',
    `the path ${JSON.stringify(path)} is relative, and nothing is bound that it could be relative to`,
    {
      expected: `the workspace ${name} or shared, or an absolute path`,
      found: 'neither',
      hint: `bind the workspace ${name}`,
    },
  )
}
