/** `node soak.mjs [options]`: the soak as a bundle, with the program of its processes beside it. */
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { OPTIONS, runSoak, USAGE, withUsage } from './command.ts'

process.exitCode = await withUsage(async () => {
  const { values } = parseArgs({ options: OPTIONS })
  if (!values.help) return runSoak(join(import.meta.dirname, 'worker.mjs'), values)
  console.log(USAGE)
  return 0
})
