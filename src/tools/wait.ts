import { WorkspaceError } from '../errors.ts'
import { jitter, monotonic, sleep } from '../platform/clock.ts'
import type { Installation } from './install.ts'
import { titleOf, toolPaths } from './layout.ts'
import { isThere, type Damage } from './look.ts'
import { readReport, type Report } from './progress.ts'

interface Until {
  /** What is there and does not count. */
  damage: Damage | undefined
  /** Also ends where nobody tells of a download, or the one that did stands still. */
  untilQuiet: boolean
}

/**
 * Waits until the tool is there. Two listings a second or so: nothing is read twice, and nobody queues.
 * @returns false where it ended because it was quiet
 * @throws WorkspaceError TOOL_NOT_INSTALLED at the deadline; the signal's reason
 */
export async function waitForTool(
  installation: Installation,
  { damage, untilQuiet }: Until,
): Promise<boolean> {
  const { volume, tool, signal, timeoutMs, tuning, consumer, emit } = installation
  const paths = toolPaths(volume.layout, tool)
  const waited = (): number => Math.round(monotonic() - installation.startedAt)
  let last: { entry: string; report: Report | undefined } | undefined
  let changedAt = monotonic()
  let tellAt = changedAt
  for (;;) {
    signal.throwIfAborted()
    if (await isThere(volume, tool, damage)) return true
    const newest = await readReport(paths, tool)
    const now = monotonic()
    if (newest?.entry !== last?.entry) changedAt = now
    last = newest
    if (untilQuiet && now - changedAt > tuning.quietMs) return false
    if (waited() >= timeoutMs) throw notInstalled(installation, last?.report, damage)
    if (now >= tellAt) {
      tellAt = now + tuning.tellMs
      emit({
        event: 'tool-waiting',
        consumer,
        tool: titleOf(tool),
        ...toldBy(last?.report),
        waitedMs: waited(),
      })
    }
    await sleep(Math.min(jitter(tuning.pollMs), Math.max(1, timeoutMs - waited())), signal)
  }
}

function toldBy(report: Report | undefined) {
  if (!report) return {}
  const { by, stage, bytes, total, rate } = report
  return { by, stage, bytes, rate, ...(total === undefined ? {} : { total }) }
}

function notInstalled(
  { tool, timeoutMs, mayDownload }: Installation,
  report: Report | undefined,
  damage: Damage | undefined,
): WorkspaceError {
  const far =
    report && `${report.by} is ${report.stage} it: ${report.bytes} of ${report.total ?? 'unknown'} bytes`
  const there = damage ? `what is there is damaged: ${damage.why}` : 'it is not there'
  return new WorkspaceError('TOOL_NOT_INSTALLED', `${titleOf(tool)} was not installed in time`, {
    expected: `the tool within ${timeoutMs / 1000} s`,
    found: far ?? `${there}, and nobody tells of a download`,
    hint: far
      ? 'raise timeout; what was downloaded so far is kept'
      : mayDownload
        ? 'look at the log of whoever holds its lock'
        : 'have a task with the role auto or download install it, of the same name, version and platform',
  })
}
