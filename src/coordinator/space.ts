/** How much more the coordinator may keep. */
import { WorkspaceError } from '../errors.ts'
import * as fs from '../platform/fs.ts'
import { measure } from '../retention/measure.ts'

export interface Space {
  /** @throws WorkspaceError NO_SPACE where `bytes` more would be too many */
  check(bytes: number): Promise<void>
  /** Tells of bytes that were written, or, below zero, removed. */
  add(bytes: number): void
  /** Counts again what is there. */
  recount(): Promise<void>
}

/** @param capacity the most bytes below `root`, if there is such a limit; @param reserve bytes of the disk that stay free */
export async function spaceOf(root: string, capacity: number | undefined, reserve: number): Promise<Space> {
  let used = 0
  const full = (expected: string, found: string): WorkspaceError =>
    new WorkspaceError('NO_SPACE', "the coordinator's disk is full", {
      expected,
      found,
      hint: 'enlarge its disk and COORDINATOR_CAPACITY, or lower COORDINATOR_CLEANUP_DAYS (docs/coordinator.md)',
    })
  const space: Space = {
    async check(bytes) {
      if (capacity !== undefined && used + bytes > capacity)
        throw full(`at most ${capacity} bytes in all`, `${used} bytes, and ${bytes} more to come`)
      const { bavail, bsize } = await fs.statfs(root)
      if (bavail * bsize - bytes >= reserve) return
      throw full(`${reserve} bytes that stay free`, `${bavail * bsize} bytes free, and ${bytes} more to come`)
    },
    add: (bytes) => void (used += bytes),
    async recount() {
      // Without a capacity the disk itself counts.
      if (capacity !== undefined) used = (await measure(root)).bytes
    },
  }
  await space.recount()
  return space
}
