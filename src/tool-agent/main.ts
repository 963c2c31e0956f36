/** The agent as a process: runs its worker until SIGTERM or SIGINT. */
import { toWorkspaceError } from '../errors.ts'
import { createLog } from '../events.ts'
import { LOCAL_ENV, readIdentity } from '../identity.ts'
import * as host from '../platform/host.ts'
import { livenessHere } from '../volume/liveness-here.ts'
import { runAgent } from './agent.ts'
import { readSettings } from './settings.ts'

const log = createLog(host.logFormat(), host.writeLogLine)
const stop = host.abortOnSignals()
try {
  const { settings, command } = readSettings(host.env, host.args)
  const identity = readIdentity(host.env)
  const liveness = livenessHere(Boolean(host.env[LOCAL_ENV]), settings.FOLDER)
  await runAgent({ settings, command, identity, liveness, emit: log.emit, signal: stop.signal })
  host.exit(0)
} catch (error) {
  const failure = toWorkspaceError(error)
  // Told to stop before it had begun.
  if (!stop.signalled) log.error(failure)
  host.exit(stop.signalled ? 0 : failure.exitCode)
}
