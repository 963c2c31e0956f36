/** Makes an installation of what was downloaded: whole, or not at all. */
import { timestamp } from '../platform/clock.ts'
import * as fs from '../platform/fs.ts'
import { publishFile, publishMadeFolder } from '../volume/publish.ts'
import type { Volume } from '../volume/volume.ts'
import type { Downloaded } from './download.ts'
import { expose, tryOut } from './expose.ts'
import type { Tool } from './find.ts'
import type { ToolMarker } from './format.ts'
import { pathsIn, type ToolName, type ToolPaths } from './layout.ts'
import { listTree } from './list-tree.ts'
import type { Archive } from './unpack/archive.ts'
import { unpack } from './unpack/unpack.ts'
import { shown } from './web.ts'

export interface Recipe {
  archive: Archive
  strip: number
  /** The most that may come out of the archive, in bytes. */
  maxBytes: number
  /** Paths in the content; none for all programs right in it and in its `bin`. */
  binaries: readonly string[]
  /** A line for `sh` that has to succeed; '' for none. */
  verify: string
}

export interface Making {
  volume: Volume
  tool: ToolName
  paths: ToolPaths
  /** A folder to make it in; what a killed process has left there goes. */
  stage: string
  recipe: Recipe
  /** What was downloaded, and where it lies. */
  downloaded: Downloaded & { path: string }
  checksum: ToolMarker['checksum']
  /** Who installs it, for people. */
  by: string
  verifyMs: number
  /** Called before it shows up: throws where that is not ours to do any more. */
  mayPublish: () => Promise<void>
  signal: AbortSignal
}

/**
 * @returns undefined where somebody else has installed it meanwhile
 * @throws WorkspaceError ARCHIVE_UNSAFE, TOOL_BROKEN; what the volume says; the signal's reason
 */
export async function makeTool(making: Making): Promise<Tool | undefined> {
  const { tool, paths, stage, recipe, downloaded, verifyMs, signal } = making
  const { content, bin, marker } = pathsIn(stage)
  await fs.removeTree(stage)
  await fs.mkdirp(content)
  await fs.mkdir(bin)
  await unpack(downloaded.path, content, { ...recipe, url: downloaded.url, name: tool.name, signal })
  const binaries = await expose(stage, tool, recipe.binaries)
  await tryOut(stage, tool, { command: recipe.verify, timeoutMs: verifyMs, signal })
  // After the trial, which may have added something.
  const marked = await describeMade(making, binaries)
  await publishFile(marker, JSON.stringify(marked))
  await making.mayPublish()
  return (await publishMadeFolder(stage, paths.folder)) ? { ...tool, paths, marker: marked } : undefined
}

async function describeMade(
  { volume, tool, stage, downloaded, checksum, by }: Making,
  binaries: string[],
): Promise<ToolMarker> {
  return {
    v: 1,
    ...tool,
    volume: volume.id,
    source: shown(downloaded.url),
    digest: downloaded.digest,
    checksum,
    downloadBytes: downloaded.bytes,
    files: await listTree(stage),
    binaries,
    installedAt: timestamp(),
    by,
  }
}
