/** Downloads a tool and installs it, telling others how far it is. Whoever calls this excludes others. */
import { toWorkspaceError, type ErrorCode } from '../errors.ts'
import type { Emit } from '../events.ts'
import { monotonic } from '../platform/clock.ts'
import type { Volume } from '../volume/volume.ts'
import { expectedDigest } from './checksum.ts'
import { download, type Progress } from './download.ts'
import type { Tool } from './find.ts'
import { titleOf, toolPaths, type ToolName } from './layout.ts'
import { makeTool, type Making, type Recipe } from './make.ts'
import { discardOthers, partialOf } from './partial.ts'
import { requireChecksum, type Checksum } from './require-checksum.ts'
import { startTelling, type Report } from './progress.ts'
import type { Tuning } from './tuning.ts'
import { openWeb, type Authorization } from './web.ts'

export interface Source {
  /** Mirrors of one file, in the order in which they are tried. */
  urls: readonly URL[]
  checksum: Checksum
  /** Certificates in PEM form that servers are trusted by, beside the usual ones; '' for none. */
  ca: string
  authorization: Authorization | undefined
}

export interface Bringing {
  volume: Volume
  tool: ToolName
  source: Source
  recipe: Recipe
  /** For log lines. */
  consumer: string
  /** Who installs it, for people. */
  by: string
  /** The hold's, or 0 without a lock. */
  epoch: number
  /** Throws where another may do the same by now. */
  check: () => Promise<void>
  emit: Emit
  signal: AbortSignal
  tuning: Tuning
}

/**
 * @returns what was made, undefined where somebody else has installed it meanwhile; and how many bytes were fetched
 * @throws WorkspaceError USAGE, SOURCE_UNREACHABLE, DIGEST_MISMATCH, ARCHIVE_UNSAFE, TOOL_BROKEN; what the volume says;
 *   the signal's reason
 */
export async function bring(bringing: Bringing): Promise<{ made: Tool | undefined; fetched: number }> {
  const { volume, tool, source, tuning, signal, check } = bringing
  requireChecksum(source.checksum, tool.name)
  const web = openWeb({ ...source, idleMs: tuning.idleMs })
  const paths = toolPaths(volume.layout, tool)
  const progress: Progress = { bytes: 0, total: undefined, fetched: 0, from: '' }
  const told = startTold(bringing, progress)
  try {
    const sha256 = await expectedDigest(source.checksum, source.urls, { web, signal, tuning })
    const partial = partialOf(paths, tool, sha256 ?? source.urls.map(({ href }) => href).join(' '))
    await discardOthers(paths, tool, partial)
    const { maxBytes } = bringing.recipe
    const request = { ...bringing, ...source, sha256, partial, maxBytes, web, mayWrite: check }
    let made: Tool | undefined
    try {
      const downloaded = await download({ ...request, told: told.names }, progress)
      told.unpacking()
      const checksum = sha256 ? 'verified' : 'waived'
      const making: Making = {
        ...bringing,
        paths,
        stage: partial.stage,
        downloaded: { ...downloaded, path: partial.content },
        checksum,
        verifyMs: tuning.verifyMs,
        mayPublish: check,
      }
      made = await makeTool(making)
    } catch (error) {
      // What cannot become the tool must not be gone on with, nor keep others from the last room.
      if (OF_NO_USE.includes(toWorkspaceError(error).code)) await partial.discard()
      throw error
    }
    await partial.discard()
    return { made, fetched: progress.fetched }
  } finally {
    await told.stop()
  }
}

const OF_NO_USE: readonly ErrorCode[] = ['ARCHIVE_UNSAFE', 'TOOL_BROKEN', 'NO_SPACE', 'DIGEST_MISMATCH']

/** Tells those who wait, and the log, how far it is. */
function startTold(bringing: Bringing, progress: Progress) {
  const { volume, tool, consumer, by, epoch, emit, tuning } = bringing
  const names = { consumer, tool: titleOf(tool) }
  let stage: Report['stage'] = 'downloading'
  let last = { at: monotonic(), fetched: 0 }
  let emitAt = last.at + tuning.tellMs
  const report = (): Report => {
    const now = monotonic()
    const rate = Math.round(((progress.fetched - last.fetched) * 1000) / Math.max(1, now - last.at))
    last = { at: now, fetched: progress.fetched }
    const { bytes, total, from } = progress
    const far = { stage, from, bytes, ...(total === undefined ? {} : { total }), rate }
    if (now >= emitAt) {
      emitAt = now + tuning.tellMs
      emit({ event: 'tool-progress', ...names, ...far })
    }
    return { v: 1, by, ...far }
  }
  const paths = toolPaths(volume.layout, tool)
  const telling = startTelling(paths, tool, { epoch, everyMs: tuning.progressMs }, report)
  return { names, unpacking: () => void (stage = 'unpacking'), stop: () => telling.stop() }
}
