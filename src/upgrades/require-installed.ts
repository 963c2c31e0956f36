import { WorkspaceError } from '../errors.ts'
import { findTool, titleOf, verifyTool } from '../tools/index.ts'
import type { Layout } from '../volume/layout.ts'

/** A version of a tool on each platform. */
export interface Wanted {
  name: string
  version: string
  platforms: Iterable<string>
}

/** @throws WorkspaceError TOOL_NOT_INSTALLED; DIGEST_MISMATCH where one is not what was installed */
export async function requireInstalled(layout: Layout, { name, version, platforms }: Wanted): Promise<void> {
  for (const platform of platforms) {
    const tool = await findTool(layout, { name, version, platform })
    if (!tool) throw notInstalled(titleOf({ name, version, platform }))
    await verifyTool(tool)
  }
}

export const notInstalled = (title: string): WorkspaceError =>
  new WorkspaceError('TOOL_NOT_INSTALLED', `${title} is not on the volume`, {
    expected: 'an installation of that version for that platform',
    found: 'none',
    hint: 'install it first with tool-install, which the Pipeline tool-upgrade does by itself',
  })
