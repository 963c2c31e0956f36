import { basename, join } from 'node:path'
import { toWorkspaceError } from '../errors.ts'
import type { Emit } from '../events.ts'
import * as fs from '../platform/fs.ts'
import type { Volume } from '../volume/volume.ts'
import { archiveRun } from './archive.ts'
import type { Action } from './plan.ts'
import { moveToTrash } from './trash.ts'

/**
 * Carries a plan out. What cannot be moved or removed is named and left, and does not stop the rest.
 * @returns how many things were trashed or purged, and the bytes that purging gave back.
 */
export async function applyPlan(
  volume: Volume,
  actions: Action[],
  emit: Emit,
  signal: AbortSignal,
): Promise<{ removed: number; freedBytes: number }> {
  const done = { removed: 0, freedBytes: 0 }
  for (const action of actions) {
    signal.throwIfAborted()
    try {
      await carryOut(volume, action)
    } catch (error) {
      emit({ event: 'retention-blocked', path: action.path, why: toWorkspaceError(error).message })
      continue
    }
    emit({ event: 'retention-done', action: action.action, path: action.path, bytes: action.bytes })
    if (action.action !== 'archive') done.removed += 1
    if (action.action === 'purge') done.freedBytes += action.bytes
  }
  return done
}

async function carryOut(volume: Volume, { action, path, why }: Action): Promise<void> {
  const absolute = join(volume.layout.root, path)
  if (action === 'archive') await archiveRun(volume, basename(path))
  else if (action === 'trash') await moveToTrash(volume, absolute, why)
  else await fs.removeTree(absolute)
}
