import { kubectl } from './kubectl.ts'
import { isAlive } from './processes.ts'
import type { ClusterState } from './state.ts'

/** What is wrong with a cluster, in words; empty when all is well. */
export async function troubles(state: ClusterState): Promise<string[]> {
  const records = [...state.nodes.map(({ init }) => init), ...state.processes]
  const alive = await Promise.all(records.map(isAlive))
  const dead = records.filter((_, index) => !alive[index]).map(({ name, log }) => `${name} ended (${log})`)
  if (!state.complete) dead.push('its start did not come to an end')
  if (dead.length > 0) return dead
  return await kubectl(['get', '--raw', '/readyz', '--request-timeout=5s']).then(
    () => [],
    () => ['the API server does not answer'],
  )
}
