/** Where a tool is on the volume: `tools/<name>/<version>/<os>-<arch>/`. */
import { join } from 'node:path'
import * as z from '../zod.ts'
import { WorkspaceError } from '../errors.ts'
import type { Layout } from '../volume/layout.ts'

/** One installation, by its name. */
export interface ToolName {
  name: string
  version: string
  /** `<os>-<arch>` as container images name them: `linux-amd64`. */
  platform: string
}

/** With these lengths, what names a tool's lock is a name on the volume as well. */
const [MAX_NAME, MAX_VERSION, MAX_PLATFORM] = [60, 40, 20]

const part = (most: number, what: string) =>
  z
    .string()
    .check(
      z.regex(
        new RegExp(`^[A-Za-z0-9][A-Za-z0-9._-]{0,${most - 1}}$`),
        `expected ${what} of 1 to ${most} letters, digits, ".", "_" and "-", starting with a letter or digit`,
      ),
    )

export const toolName = part(MAX_NAME, 'a name')
export const toolVersion = part(MAX_VERSION, 'a version')
export const toolPlatform = z
  .string()
  .check(
    z.regex(/^[a-z0-9]+-[a-z0-9]+$/, 'expected <os>-<arch>, such as linux-amd64'),
    z.maxLength(MAX_PLATFORM, `expected at most ${MAX_PLATFORM} characters`),
  )

const ToolNameSchema = z.object({ name: toolName, version: toolVersion, platform: toolPlatform })

export interface ToolPaths {
  /** `tools/<name>/<version>`: the installations of all platforms, and what is being downloaded. */
  version: string
  /** The installation: complete, or not there. */
  folder: string
  marker: string
  /** What was unpacked. */
  content: string
  /** Relative symlinks into `content`, one for each binary: the folder to put first in PATH. */
  bin: string
}

/** @throws WorkspaceError UNSAFE_PATH for what cannot be the name of a tool */
export function toolPaths(layout: Layout, tool: ToolName): ToolPaths {
  const checked = ToolNameSchema.safeParse(tool)
  if (!checked.success) throw badName(tool, checked.error.issues.map((issue) => issue.message).join('; '))
  const version = layout.tool(tool.name, tool.version)
  return { version, ...pathsIn(join(version, tool.platform)) }
}

/** The parts of an installation in `folder`. */
export const pathsIn = (folder: string): Omit<ToolPaths, 'version'> => ({
  folder,
  marker: join(folder, 'tool.json'),
  content: join(folder, 'content'),
  bin: join(folder, 'bin'),
})

/** The lock under which a tool is downloaded. */
export const toolLock = ({ name, version, platform }: ToolName): string =>
  `tool.${name}.${version}.${platform}`

/** For messages: `terraform 1.9.5 (linux-amd64)`. */
export const titleOf = ({ name, version, platform }: ToolName): string => `${name} ${version} (${platform})`

const badName = (tool: ToolName, expected: string): WorkspaceError =>
  new WorkspaceError('UNSAFE_PATH', `there can be no tool ${JSON.stringify(titleOf(tool))}`, {
    expected,
    found: JSON.stringify(tool),
    hint: 'choose another name, version or platform',
  })
