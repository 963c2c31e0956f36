/** Where a step keeps artifacts: as its parameter says, else as its namespace is configured. */
import type { Configuration } from '../configuration.ts'
import type { Emit } from '../events.ts'
import { storesOf, type StoreOpener } from '../stores/open.ts'
import type { Strategy } from '../stores/store.ts'

interface Context {
  params: { strategy: Strategy[] | undefined }
  workspaces: { shared?: string }
  configuration: Configuration
  emit: Emit
  signal: AbortSignal
}

/** @param initialise whether a volume without a marker becomes one */
export function storesFor(
  { params, workspaces, configuration, emit, signal }: Context,
  { initialise }: { initialise: boolean },
): StoreOpener[] {
  const strategies = params.strategy ?? configuration.ARTIFACT_STRATEGY
  return storesOf({ strategies, configuration, volumePath: workspaces.shared, initialise, emit, signal })
}
