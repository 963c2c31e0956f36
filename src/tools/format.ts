/** What `tool.json` says of an installation. It is written before the folder shows up, and never changes. */
import * as z from '../zod.ts'
import { toolName, toolPlatform, toolVersion } from './layout.ts'

export const TOOL_FORMAT = 1

const path = z.string().check(z.minLength(1))
const bytes = z.int().check(z.nonnegative())

/** What is below `content/` and `bin/`, with paths from the installation's folder on, in the order of a walk. */
const ToolFile = z.discriminatedUnion('type', [
  z.object({
    path,
    type: z.literal('file'),
    /** The permission bits. */
    mode: z.int(),
    size: bytes,
    /** 64 hexadecimal digits. */
    sha256: z.string(),
  }),
  z.object({ path, type: z.literal('dir'), mode: z.int() }),
  z.object({ path, type: z.literal('symlink'), target: z.string() }),
])
export type ToolFile = z.infer<typeof ToolFile>

export const ToolMarker = z.object({
  v: z.literal(TOOL_FORMAT),
  name: toolName,
  version: toolVersion,
  platform: toolPlatform,
  /** The volume that it was installed on: a copy of the folder elsewhere is not this tool. */
  volume: z.string(),
  /** Where it was downloaded from, without credentials. */
  source: z.string(),
  /** `sha256:<hex>` of what was downloaded. */
  digest: z.string().check(z.regex(/^sha256:[0-9a-f]{64}$/)),
  /** Whether that was what the caller expected, or the caller waived to say. */
  checksum: z.enum(['verified', 'waived']),
  /** The size of what was downloaded. */
  downloadBytes: bytes,
  files: z.array(ToolFile),
  /** The names in `bin/`. */
  binaries: z.array(z.string()),
  installedAt: z.string(),
  /** Who installed it, for people. */
  by: z.string(),
})
export type ToolMarker = z.infer<typeof ToolMarker>
