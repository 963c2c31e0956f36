/** One side of the probe on two nodes as a process. It succeeds where locks on the volume exclude across nodes. */
import { WorkspaceError, toWorkspaceError } from '../errors.ts'
import { createLog } from '../events.ts'
import * as host from '../platform/host.ts'
import { probeAcrossNodes } from '../volume/across-nodes/probe.ts'
import { refuseUnsafe } from '../volume/across-nodes/record.ts'
import { ensureVolume } from '../volume/volume.ts'
import { PROBE_LOCKS, settingEnv, SETTINGS, type SettingName, type Settings } from './contract.ts'

const log = createLog(host.logFormat(), host.writeLogLine)
const stop = host.abortOnSignals()
try {
  const { FOLDER, SESSION: session, SIDE: side, NODE: node, PATIENCE: patienceMs } = readSettings(host.env)
  const volume = await ensureVolume(FOLDER, log.emit)
  const { emit } = log
  refuseUnsafe(await probeAcrossNodes(volume, { session, side, node, patienceMs, emit, signal: stop.signal }))
} catch (error) {
  const failure = toWorkspaceError(error)
  log.error(failure)
  host.exit(failure.exitCode)
} finally {
  stop.dispose()
}

function readSettings(env: Record<string, string | undefined>): Settings {
  const values: Record<string, unknown> = {}
  const problems: string[] = []
  for (const name of Object.keys(SETTINGS) as SettingName[]) {
    const given = env[settingEnv(name)] ?? ''
    const result = SETTINGS[name].safeParse(given)
    if (result.success) values[name] = result.data
    else
      for (const { message } of result.error.issues)
        problems.push(`${settingEnv(name)}: ${message}, found ${JSON.stringify(given)}`)
  }
  if (problems.length === 0) return values as Settings
  throw new WorkspaceError('USAGE', `${PROBE_LOCKS} cannot start: ${problems.join('; ')}`, {
    expected: 'the environment that maintenance/probe-locks.yaml gives it',
    found: `${problems.length} variables that are not like that`,
    hint: 'create the Job from maintenance/probe-locks.yaml',
  })
}
