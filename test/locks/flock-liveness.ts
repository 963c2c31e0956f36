import { join } from 'node:path'
import { flock } from '../../src/platform/flock.ts'
import * as fs from '../../src/platform/fs.ts'
import type { Liveness } from '../../src/volume/liveness.ts'

/** An owner `<id>` or `<id>-<n>` is alive while the file alive/<id> is locked: the kernel knows when it died. */
export function flockLiveness(root: string): Liveness {
  return async ({ name }) => {
    const handle = await fs.open(join(root, 'alive', name.split('-')[0]!), 'r+')
    try {
      const free = await flock().tryLock(handle.fd, 'shared')
      return free
        ? { state: 'gone', evidence: `process ${name} is dead` }
        : { state: 'alive', why: 'it runs' }
    } finally {
      await handle.close()
    }
  }
}
