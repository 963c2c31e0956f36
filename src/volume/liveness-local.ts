import { errno } from '../errors.ts'
import * as fs from '../platform/fs.ts'
import { flock } from '../platform/flock.ts'
import { layoutOf } from './layout.ts'
import type { Liveness } from './liveness.ts'

/**
 * Liveness of local runs: the runner holds a flock whose descriptor all its steps inherit, so that the lock is
 * free only when the runner and every process that it started are gone, whatever ended them.
 */
export function localLiveness(root: string): Liveness {
  const layout = layoutOf(root)
  return async (owner) => {
    if (owner.kind !== 'LocalRun')
      return { state: 'unknown', why: `${owner.kind} ${owner.name} lives in a cluster` }
    let handle: fs.FileHandle
    try {
      handle = await fs.open(layout.alive(owner.uid), 'r+')
    } catch (error) {
      if (errno(error) === 'ENOENT') return { state: 'gone', evidence: `local run ${owner.name} has ended` }
      throw error
    }
    try {
      if (!(await flock().tryLock(handle.fd, 'shared')))
        return { state: 'alive', why: `local run ${owner.name} runs` }
      return { state: 'gone', evidence: `no process of local run ${owner.name} is left` }
    } finally {
      await handle.close()
    }
  }
}
