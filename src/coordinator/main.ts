/** The coordinator as a process: serves until SIGTERM or SIGINT. */
import { toWorkspaceError } from '../errors.ts'
import { createLog } from '../events.ts'
import * as host from '../platform/host.ts'
import { startCoordinator } from './serve.ts'
import { readSettings } from './settings.ts'

const log = createLog(host.logFormat(), host.writeLogLine)
const stop = host.abortOnSignals()
const stopped = new Promise((resolve) => stop.signal.addEventListener('abort', resolve))
try {
  const coordinator = await startCoordinator(readSettings(host.env), log.emit, stop.signal)
  await stopped
  await coordinator.stop(`${stop.signalled}`)
  host.exit(0)
} catch (error) {
  const failure = toWorkspaceError(error)
  log.error(failure)
  host.exit(failure.exitCode)
}
