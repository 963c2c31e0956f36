/** One side of the probe on two nodes as a process. It succeeds where locks on the volume exclude across nodes. */
import { toWorkspaceError } from '../errors.ts'
import { createLog } from '../events.ts'
import * as host from '../platform/host.ts'
import { readSettings } from '../settings.ts'
import { probeAcrossNodes } from '../volume/across-nodes/probe.ts'
import { refuseUnsafe } from '../volume/across-nodes/record.ts'
import { ensureVolume } from '../volume/volume.ts'
import { PREFIX, PROBE_LOCKS, SETTINGS } from './contract.ts'

const PROGRAM = { title: PROBE_LOCKS, docs: 'maintenance/probe-locks.yaml, which sets them', prefix: PREFIX }

const log = createLog(host.logFormat(), host.writeLogLine)
const stop = host.abortOnSignals()
try {
  const {
    FOLDER,
    SESSION: session,
    SIDE: side,
    NODE: node,
    PATIENCE: patienceMs,
  } = readSettings(SETTINGS, PROGRAM, host.env)
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
