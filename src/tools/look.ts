import { toWorkspaceError, WorkspaceError } from '../errors.ts'
import type { Volume } from '../volume/volume.ts'
import * as fs from '../platform/fs.ts'
import { parseJson } from '../json.ts'
import { findTool, type Tool } from './find.ts'
import { titleOf, toolPaths, type ToolName } from './layout.ts'
import { verifySizes, verifyTool } from './verify.ts'

/** What is at a tool's place: nothing, the tool, verified, or something else. */
export type Found =
  | { tool?: undefined; damage?: undefined }
  | { tool: Tool; damage?: undefined }
  | { tool?: undefined; damage: Damage }

export interface Damage {
  why: string
  /** The text of its marker, by which it is known again; '' for none. */
  marker: string
}

/**
 * @param expected 64 hexadecimal digits; undefined for any
 * @param read `all` of it, or `sizes` where it has only just been made
 * @throws WorkspaceError DIGEST_MISMATCH where the tool was made of another download than is `expected`;
 *   FORMAT_UNSUPPORTED where a newer version has installed it
 */
export async function look(
  volume: Volume,
  name: ToolName,
  expected: string | undefined,
  read: 'all' | 'sizes' = 'all',
): Promise<Found> {
  const paths = toolPaths(volume.layout, name)
  if (!(await isThere(volume, name))) return {}
  const marker = (await fs.readIfThere(paths.marker)) ?? ''
  if (parseJson(marker) === undefined)
    return { damage: { why: `${paths.marker} is missing or cut short`, marker } }
  const tool = await findTool(volume.layout, name)
  if (!tool) return {}
  if (expected && tool.marker.digest !== `sha256:${expected}`) throw another(tool, expected)
  try {
    await (read === 'all' ? verifyTool(tool) : verifySizes(tool))
    return { tool }
  } catch (error) {
    const { code, found, message } = toWorkspaceError(error)
    if (code !== 'DIGEST_MISMATCH') throw error
    return { damage: { why: found ?? message, marker } }
  }
}

/** Whether something is installed, other than what was found damaged. By a listing, which is fresh where a stat may not be. */
export async function isThere(volume: Volume, name: ToolName, damage?: Damage): Promise<boolean> {
  const { version, marker } = toolPaths(volume.layout, name)
  const isListed = (await fs.list(version)).some((entry) => entry.name === name.platform)
  return isListed && (!damage || ((await fs.readIfThere(marker)) ?? '') !== damage.marker)
}

const another = ({ marker, paths, ...name }: Tool, expected: string): WorkspaceError =>
  new WorkspaceError('DIGEST_MISMATCH', `${titleOf(name)} is installed already, from another download`, {
    expected: `sha256:${expected}`,
    found: `${marker.digest} from ${marker.source}, installed at ${marker.installedAt} by ${marker.by}`,
    hint: `one of the two is wrong: what is installed is never replaced; install under another version, or move ${paths.folder} away`,
  })
