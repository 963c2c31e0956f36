/** A coordinator whose disk is full for as long as a file FULL lies beside its tokens. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { injectFault } from '../../src/platform/fs.ts'

injectFault((operation) => {
  const isFull = existsSync(join(process.env['COORDINATOR_FOLDER']!, '..', process.env['FULL']!))
  if (isFull && (operation === 'write' || operation === 'sync'))
    throw Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' })
})
await import('../../src/coordinator/main.ts')
