import { Problem } from '../base/problem.ts'
import { troubles } from './health.ts'
import { readState, type ClusterState } from './state.ts'

/** The state of a cluster that is up, or an error that says how to get one. */
export async function requireCluster(): Promise<ClusterState> {
  const state = await readState()
  if (!state) throw new Problem('no native cluster runs on this machine', { fix: 'run: ./run cluster up' })
  const wrong = await troubles(state)
  if (wrong.length > 0)
    throw new Problem('the native cluster is not well', { found: wrong.join('; '), fix: 'run down, then up' })
  return state
}

/** Namespaces, mounts and cgroups are root's. */
export function requireRoot(
  what = 'the native cluster',
  instead = 'use a cluster of your own: up --provider existing',
): void {
  if (process.platform === 'linux' && process.getuid?.() === 0) return
  throw new Problem(`${what} needs root on Linux`, {
    expected: 'uid 0 on linux',
    found: `uid ${process.getuid?.()} on ${process.platform}`,
    fix: `run it as root, or ${instead}`,
  })
}
