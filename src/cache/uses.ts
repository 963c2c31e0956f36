/** When keys were used: the least recently used go first. */
import { toWorkspaceError } from '../errors.ts'
import type { Emit } from '../events.ts'
import { timestamp, wallNow } from '../platform/clock.ts'
import type { ArtifactStore, EntryPath } from '../stores/store.ts'
import { usesPath } from './path.ts'

/**
 * Records that a key was restored: a new entry for each hour, so that nobody writes to another's file. Where that
 * fails (a volume that is mounted read-only, or full) the key only looks older than it is.
 */
export async function recordUse(store: ArtifactStore, path: EntryPath, emit: Emit): Promise<void> {
  const at = timestamp()
  const name = `${at.slice(0, 10).replaceAll('-', '')}.${at.slice(11, 13)}`
  try {
    const uses = await store.entries(usesPath(path))
    if (uses.some((use) => use.name === name)) return
    await store.publish(usesPath(path), name, 'seal', '{}')
  } catch (error) {
    const { code, message } = toWorkspaceError(error)
    emit({
      event: 'warning',
      about: `the use of ${path.join('/')} is not recorded`,
      detail: `${code}: ${message}`,
    })
  }
}

/**
 * When a key was last used, in ms since the epoch, to the hour; 0 where it never was. By the clocks of those who
 * used it: good for an order by hours and days. What a clock far ahead wrote does not count.
 */
export async function lastUse(store: ArtifactStore, path: EntryPath): Promise<number> {
  const tomorrow = wallNow() + 24 * 3.6e6
  const times = (await store.entries(usesPath(path))).map(({ name }) => {
    const [, year, month, day, hour] = /^(\d{4})(\d\d)(\d\d)\.(\d\d)$/.exec(name) ?? []
    return Date.parse(`${year}-${month}-${day}T${hour}:00:00Z`)
  })
  return Math.max(0, ...times.filter((time) => time < tomorrow))
}
