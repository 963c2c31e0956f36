import { mkdirp, removeTree } from '../platform/fs.ts'
import { monotonic } from '../platform/clock.ts'
import { layoutOf } from '../volume/layout.ts'
import type { Volume } from '../volume/volume.ts'
import { findTool, type Tool } from './find.ts'
import type { InstallOptions } from './install.ts'
import { titleOf, toolPaths } from './layout.ts'
import { look } from './look.ts'
import { TUNING } from './tuning.ts'

/** What `tool.json` says instead of the id of a volume. */
const LOCAL = 'local'

/**
 * Installs a tool in a folder of this task's alone, without a lock, laid out as on the volume. `why` is told.
 * @returns the tool, and how many bytes were fetched
 * @throws WorkspaceError as bring
 */
export async function installLocally(
  folder: string,
  why: string,
  options: Pick<InstallOptions, 'tool' | 'source' | 'recipe' | 'identity' | 'emit' | 'signal' | 'tuning'>,
): Promise<{ tool: Tool; bytes: number; waitedMs: number }> {
  const { tool, source, identity, emit } = options
  const startedAt = monotonic()
  const volume: Volume = { id: LOCAL, layout: layoutOf(folder) }
  const paths = toolPaths(volume.layout, tool)
  const consumer = identity.pod.name
  emit({ event: 'tool-local', consumer, tool: titleOf(tool), path: paths.bin, why })
  await mkdirp(folder)
  const found = await look(volume, tool, source.checksum.sha256)
  const done = (it: Tool, bytes: number) => ({
    tool: it,
    bytes,
    waitedMs: Math.round(monotonic() - startedAt),
  })
  if (found.tool) return done(found.tool, 0)
  if (found.damage) await removeTree(paths.folder)
  const tuning = { ...TUNING, ...options.tuning }
  const by = `pod ${consumer}`
  const { bring } = await import('./bring.ts')
  const alone = { epoch: 0, check: async () => {} }
  const { made, fetched } = await bring({ ...options, volume, consumer, by, ...alone, tuning })
  return done(made ?? (await findTool(volume.layout, tool))!, fetched)
}
