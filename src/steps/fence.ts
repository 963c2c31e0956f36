/** The hold that a step's parameter `fence` names, of a lock that lives where the namespace is configured for. */
import type { Configuration } from '../configuration.ts'
import type { Emit } from '../events.ts'
import type { Identity } from '../identity.ts'
import type { HoldName } from '../locks/index.ts'
import type { Fence } from '../volume/fence.ts'

interface Context {
  params: { fence: HoldName | undefined }
  workspaces: { shared?: string }
  configuration: Configuration
  identity: Identity
  emit: Emit
}

/** @throws WorkspaceError as `openLocks` */
export async function fenceFor(context: Context): Promise<Fence | undefined> {
  const { fence } = context.params
  if (!fence) return undefined
  // Most stores have no fence, and start sooner without what locks need.
  const [{ fenceOf }, { openLocks }] = await Promise.all([import('../locks/index.ts'), import('./locks.ts')])
  return fenceOf(await openLocks({ ...context, params: { backend: undefined } }, { acquires: false }), fence)
}
