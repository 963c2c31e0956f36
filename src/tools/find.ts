import * as fs from '../platform/fs.ts'
import type { Layout } from '../volume/layout.ts'
import { readJson } from '../volume/read-json.ts'
import { ToolMarker } from './format.ts'
import { toolPaths, type ToolName, type ToolPaths } from './layout.ts'

/** A tool that is installed. */
export interface Tool extends ToolName {
  paths: ToolPaths
  marker: ToolMarker
}

/**
 * The tool, if it is installed. Nothing of it is read but its marker: verifyTool does the rest.
 * @throws WorkspaceError UNSAFE_PATH for a bad name, FORMAT_UNSUPPORTED where the marker is damaged or newer
 */
export async function findTool(
  layout: Layout,
  { name, version, platform }: ToolName,
): Promise<Tool | undefined> {
  const paths = toolPaths(layout, { name, version, platform })
  // On NFS a client may go on believing that a path is not there; only a listing is fresh.
  const installed = await fs.list(paths.version)
  if (!installed.some((entry) => entry.name === platform)) return undefined
  const marker = await readJson(paths.marker, ToolMarker)
  return marker && { name, version, platform, paths, marker }
}
