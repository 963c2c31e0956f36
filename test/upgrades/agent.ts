/** An agent as a process, whose beats come faster than the product's. */
import { toWorkspaceError } from '../../src/errors.ts'
import { createLog } from '../../src/events.ts'
import * as host from '../../src/platform/host.ts'
import { runAgent } from '../../src/tool-agent/agent.ts'
import { readSettings } from '../../src/tool-agent/settings.ts'
import { readIdentity } from '../../src/identity.ts'
import { HASTE } from './haste.ts'

const log = createLog('json', host.writeLogLine)
const stop = host.abortOnSignals()
try {
  await runAgent({
    ...readSettings(host.env, host.args),
    identity: readIdentity(host.env),
    liveness: async () => ({ state: 'unknown', why: 'there is nobody to ask' }),
    emit: log.emit,
    signal: stop.signal,
    holding: host.env['SHORT_NAME'] ? HASTE.shortName : HASTE.name,
  })
  host.exit(0)
} catch (error) {
  const failure = toWorkspaceError(error)
  log.error(failure)
  host.exit(failure.exitCode)
}
