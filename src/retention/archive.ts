import { join } from 'node:path'
import * as z from '../zod.ts'
import { errno } from '../errors.ts'
import { timestamp } from '../platform/clock.ts'
import * as fs from '../platform/fs.ts'
import { pointAlias } from '../volume/init-run.ts'
import type { Fence } from '../volume/fence.ts'
import { publishFile } from '../volume/publish.ts'
import { readJson } from '../volume/read-json.ts'
import { readRunFile } from '../volume/status.ts'
import type { Volume } from '../volume/volume.ts'

const Archived = z.object({ v: z.literal(1), at: z.string() })

/**
 * Moves a run to completed/<date>/<run-id>, by one rename: killed at any point, the next call goes on.
 * The caller has made sure that nothing of the run is alive.
 * @throws WorkspaceError STALE_LOCK where the hold of `fence` is over before the record or the move
 * @returns the path of the archived run.
 */
export async function archiveRun(volume: Volume, runId: string, fence?: Fence): Promise<string> {
  const { layout } = volume
  const from = layout.run(runId)
  const { owner } = await readRunFile(from)
  const at = timestamp()
  await fence?.check()
  const under = fence ? { fence: fence.name } : {}
  await publishFile(join(from, 'metadata', 'archived.json'), JSON.stringify({ v: 1, at, ...under }))
  const day = join(layout.completed, at.slice(0, 10))
  await fs.mkdirp(day)
  const to = join(day, runId)
  await fence?.check()
  try {
    await fs.rename(from, to)
  } catch (error) {
    // Maintenance and the run's own archive may meet here: whoever came first has moved it.
    const archived = errno(error) === 'ENOENT' ? await findArchived(volume, runId) : undefined
    if (!archived) throw error
    return archived
  }
  await fs.syncFolder(day)
  await pointAlias(volume, owner, to)
  return to
}

/** The path of a run that is archived already. */
export async function findArchived(volume: Volume, runId: string): Promise<string | undefined> {
  for (const day of await fs.list(volume.layout.completed)) {
    if (!day.isDirectory()) continue
    const path = join(volume.layout.completed, day.name)
    if ((await fs.list(path)).some((entry) => entry.name === runId)) return join(path, runId)
  }
  return undefined
}

/** When a run was archived, in ms since the epoch. */
export async function archivedAt(folder: string): Promise<number | undefined> {
  const file = await readJson(join(folder, 'metadata', 'archived.json'), Archived)
  return file && Date.parse(file.at)
}
