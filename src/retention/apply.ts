import { basename, dirname, join } from 'node:path'
import { toWorkspaceError } from '../errors.ts'
import type { Emit } from '../events.ts'
import * as fs from '../platform/fs.ts'
import type { Volume } from '../volume/volume.ts'
import { archiveRun } from './archive.ts'
import { writeRecord } from './mark-record.ts'
import type { Action, Plan } from './plan.ts'
import { purgeBatch, sweepBlobs } from './sweep.ts'
import { moveToTrash } from '../volume/trash.ts'

export interface Applied {
  /** Things trashed or purged; swept blobs are counted by themselves. */
  removed: number
  /** Bytes that purging gave back. */
  freedBytes: number
  swept: number
}

/** Carries a plan out. What cannot be moved or removed is named and left, and does not stop the rest. */
export async function applyPlan(
  volume: Volume,
  { actions, record }: Plan,
  emit: Emit,
  signal: AbortSignal,
): Promise<Applied> {
  const done: Applied = { removed: 0, freedBytes: 0, swept: 0 }
  const attempt = async (path: string, work: () => Promise<void>): Promise<void> => {
    try {
      await work()
    } catch (error) {
      emit({ event: 'retention-blocked', path, why: toWorkspaceError(error).message })
    }
  }
  for (const action of actions) {
    signal.throwIfAborted()
    await attempt(action.path, async () => {
      done.swept += await carryOut(volume, action, emit)
      emit({ event: 'retention-done', action: action.action, path: action.path, bytes: action.bytes })
      if (['trash', 'purge'].includes(action.action)) done.removed += 1
      if (['purge', 'purge-blobs'].includes(action.action)) done.freedBytes += action.bytes
    })
  }
  // Not written, on a full disk: the next mark starts to count again, and sweeps later.
  if (record) await attempt('store/marks', () => writeRecord(volume.layout, record))
  return done
}

/** @returns how many blobs were swept */
async function carryOut(volume: Volume, action: Action, emit: Emit): Promise<number> {
  const { path, why } = action
  const absolute = join(volume.layout.root, path)
  switch (action.action) {
    case 'archive':
      await archiveRun(volume, basename(path))
      return 0
    case 'trash':
      await moveToTrash(volume, absolute, why)
      await removeEmptyAbove(volume, absolute)
      return 0
    case 'purge':
      await fs.removeTree(absolute)
      return 0
    case 'sweep':
      return sweepBlobs(volume, action.blobs, why, emit)
    case 'purge-blobs':
      await purgeBatch(absolute, action.blobs)
      return 0
  }
}

/** The folders of a run and its task that hold no output any more. */
async function removeEmptyAbove({ layout }: Volume, path: string): Promise<void> {
  if (!path.startsWith(`${layout.artifacts}/`)) return
  for (let above = dirname(path); above !== layout.artifacts; above = dirname(above))
    if (!(await fs.removeFolder(above))) return
}
