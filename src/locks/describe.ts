import * as fs from '../platform/fs.ts'
import type { Volume } from '../volume/volume.ts'
import type { LockState } from './format.ts'
import { openLog } from './log.ts'
import { pathsOf } from './paths.ts'
import { TUNING } from './tuning.ts'

/** The names of the locks on the volume, sorted. */
export async function listLocks(volume: Volume): Promise<string[]> {
  const entries = await fs.list(volume.layout.locks)
  return entries
    .filter((entry) => entry.isDirectory() && !entry.name.startsWith('.'))
    .map((entry) => entry.name)
}

/** Who holds the lock, who waits in which order, and how the last holds ended. @throws WorkspaceError LOCK_DAMAGED. */
export async function describeLock(volume: Volume, name: string): Promise<LockState> {
  return openLog(pathsOf(volume, name), TUNING).read()
}
