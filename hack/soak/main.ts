/**
 * `./run soak`: locks on a volume of yours, used by processes that are killed, stopped, cancelled and cut off, and
 * what they did checked. For developers also `--variant NAME`, a lock that is broken on purpose, and `--bundle DIR`,
 * which only writes what runs with a bare Node on another machine as `node DIR/soak.mjs`.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { bundle } from './bundle.ts'
import { OPTIONS, runSoak, USAGE, UsageError, withUsage } from './command.ts'
import { VARIANTS } from './variants.ts'

process.exitCode = await withUsage(async () => {
  const { values } = parseArgs({
    args: process.argv.slice(2).filter((arg) => arg !== '--'),
    options: { ...OPTIONS, variant: { type: 'string' }, bundle: { type: 'string' } },
  })
  if (values.help) {
    console.log(USAGE)
    return 0
  }
  if (values.variant !== undefined && !(values.variant in VARIANTS))
    throw new UsageError(
      `--variant: expected one of ${Object.keys(VARIANTS).join(', ')}, found ${values.variant}`,
    )
  if (values.bundle !== undefined) {
    await bundle(values.bundle, values.variant)
    return 0
  }
  const folder = await mkdtemp(join(tmpdir(), 'shared-workspace-soak-programs-'))
  try {
    await bundle(folder, values.variant)
    return await runSoak(join(folder, 'worker.mjs'), values)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
})
