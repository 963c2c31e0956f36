/**
 * A download that is under way, and stays when whoever downloads is killed: `.download-<platform>-<key>/` beside the
 * installations, with `content`, written from its beginning on, and `from.json`, which says what it is a part of; and
 * while it is unpacked with `made`.
 */
import { join } from 'node:path'
import * as z from '../zod.ts'
import { errno } from '../errors.ts'
import * as fs from '../platform/fs.ts'
import { sha256 } from '../platform/hash.ts'
import { publishFile, UNDER_WAY } from '../volume/publish.ts'
import { readJson } from '../volume/read-json.ts'
import type { ToolName, ToolPaths } from './layout.ts'

const Origin = z.object({
  v: z.literal(1),
  /** The sha256 of the URL, which may hold secrets. */
  url: z.string(),
  /** What the server calls this state of the file; without either, nothing tells whether it has changed. */
  etag: z.exactOptional(z.string()),
  lastModified: z.exactOptional(z.string()),
  /** The size of the whole, where the server says it. */
  total: z.exactOptional(z.int().check(z.nonnegative())),
})
export type Origin = z.infer<typeof Origin>

export interface Partial {
  readonly content: string
  /** Where the installation is made of it. */
  readonly stage: string
  /** What is there; undefined for nothing. */
  read(): Promise<{ origin: Origin; size: number } | undefined>
  /** Starts over. */
  begin(origin: Origin): Promise<void>
  discard(): Promise<void>
}

/** @param identity what tells this content from any other: its digest, or else where it comes from */
export function partialOf(paths: ToolPaths, { platform }: ToolName, identity: string): Partial {
  const folder = join(paths.version, `${UNDER_WAY}${platform}-${sha256(identity).slice(0, 16)}`)
  const [content, marker] = [join(folder, 'content'), join(folder, 'from.json')]
  const discard = (): Promise<void> => fs.removeTree(folder)
  return {
    content,
    stage: join(folder, 'made'),
    async read() {
      const origin = await readJson(marker, Origin).catch(() => undefined)
      const size = origin && (await sizeOf(content))
      return origin && size !== undefined ? { origin, size } : undefined
    },
    async begin(origin) {
      await discard()
      await fs.mkdirp(folder)
      await publishFile(marker, JSON.stringify(origin))
      await (await fs.create(content)).close()
    },
    discard,
  }
}

/** Removes what other downloads of this tool have left: of another digest, or from elsewhere. */
export async function discardOthers(paths: ToolPaths, { platform }: ToolName, mine: Partial): Promise<void> {
  for (const { name } of await fs.list(paths.version)) {
    const folder = join(paths.version, name)
    if (name.startsWith(`${UNDER_WAY}${platform}-`) && !mine.content.startsWith(`${folder}/`))
      await fs.removeTree(folder)
  }
}

async function sizeOf(path: string): Promise<number | undefined> {
  try {
    return (await fs.lstat(path)).size
  } catch (error) {
    if (errno(error) === 'ENOENT') return undefined
    throw error
  }
}
