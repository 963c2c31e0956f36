import type { ResultValues } from '../../contract.ts'
import { ERRORS, WorkspaceError } from '../../errors.ts'
import {
  formatFleet,
  lead,
  readFleet,
  type FleetStatus,
  type Led,
  type Target,
} from '../../upgrades/index.ts'
import { openVolume } from '../../volume/volume.ts'
import { openLocks } from '../locks.ts'
import type { StepContext, StepRun } from '../runtime.ts'
import type { contract } from './contract.ts'

type Context = StepContext<typeof contract>

/** As many names fit into what Tekton carries. */
const NAMED = 10

export const run: StepRun<typeof contract> = async (context) => {
  const { params, workspaces, identity, liveness, emit, signal, endWith } = context
  const { fleet, tool, mode, maxUnavailable, rollBack, timeout: timeoutMs } = params
  const volume = await openVolume(workspaces.shared!)
  const locks = await openLocks(
    { ...context, params: { backend: undefined } },
    { acquires: mode !== 'status' },
  )
  if (mode === 'status')
    return printStatus(context, await readFleet(volume.layout, fleet, { locks, liveness }))
  const to = mode === 'roll-back' ? mode : { version: requireVersion(params.version) }
  const common = { identity, liveness, emit, signal }
  const options = { volume, locks, fleet, tool, to, maxUnavailable, rollBack, timeoutMs, ...common }
  const led = await lead(options)
  const isGood = led.target.phase === (mode === 'roll-back' ? 'rolled-back' : 'done')
  if (!isGood) endWith(ERRORS[led.target.code || 'UPGRADE_HALTED'].exit)
  tellEnd(context, led, isGood)
  return resultsOf(led.target, led.upgraded)
}

function printStatus(
  { params: { format }, print }: Context,
  status: FleetStatus,
): ResultValues<typeof contract> {
  print(format === 'json' ? JSON.stringify(status) : formatFleet(status))
  const { target, consumers } = status
  const upgraded = consumers.filter(
    ({ version, phase }) => version === target?.version && phase === 'healthy',
  )
  return target
    ? resultsOf(target, upgraded.length)
    : { phase: '', from: '', to: '', upgraded: 0, failed: '' }
}

const resultsOf = ({ phase, previous = '', version, failed }: Target, upgraded: number) => ({
  phase,
  from: previous,
  to: version,
  upgraded,
  failed: failed.slice(0, NAMED).join(','),
})

function requireVersion(version: string | undefined): string {
  if (version) return version
  throw new WorkspaceError('USAGE', 'an upgrade needs a version to go to', {
    expected: 'the parameter version',
    found: 'none',
    hint: 'set version, or mode: status to see what the fleet is on',
  })
}

/** The last word: what became of it, and what to do where that is not what was asked for. */
function tellEnd({ params: { fleet }, emit }: Context, { target, changed }: Led, isGood: boolean): void {
  if (isGood && changed) return
  const { tool, phase, previous: from = '', version: to, reason } = target
  const hint =
    phase === 'rolled-back'
      ? `all but silent ones are on ${from} again: look at the logs of ${target.failed.join(', ')}, then upgrade again`
      : `some are on ${to}, some on ${from || 'none'}: see mode: status; upgrade again to go on, or mode: roll-back to go back`
  emit({
    event: 'fleet-phase',
    fleet,
    tool,
    phase,
    from,
    to,
    ...(isGood ? { reason: 'there was nothing to do' } : { reason, hint }),
  })
}
