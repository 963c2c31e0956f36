/**
 * The log of a lock, which is the truth about it: each transition is one name, taken exclusively with the next
 * number by a writer that decided on exactly the state before it.
 */
import { errno, WorkspaceError } from '../../errors.ts'
import { jitter, sleep, timestamp } from '../../platform/clock.ts'
import { publishText } from '../../volume/short-text.ts'
import { compact } from './compact.ts'
import { damaged, formatEvent, type LockEvent, type LockState } from '../format.ts'
import type { LockStore, Next } from '../backend.ts'
import { numbered, removeFile, type LockPaths } from './paths.ts'
import { createReader } from './reader.ts'
import type { Tuning } from '../tuning.ts'

export type LockLog = Pick<LockStore, 'read' | 'change'>

/** No decision takes more events than this; one that does would go on for ever. */
const MAX_EVENTS = 100
const [PAUSE_MS, MOST_PAUSE_MS] = [5, 200]

export function openLog(paths: LockPaths, tuning: Tuning): LockLog {
  const { missingMs, compactAfter } = tuning
  const reader = createReader(paths, missingMs)

  async function append(event: LockEvent, seq: number): Promise<boolean> {
    try {
      return await publishText(numbered(paths.events, seq), formatEvent(event, seq, timestamp()))
    } catch (error) {
      throw errno(error) === 'ENOENT' ? damaged(paths.events, 'no such folder any more', error) : error
    }
  }

  async function settle<T>(decide: (state: LockState) => Next<T>): Promise<T> {
    let appended = 0
    let lost = 0
    let letGo = false
    for (let events = 0; events <= MAX_EVENTS;) {
      const state = await reader.read()
      // A void event misleads nobody, but its name is in the way of people's understanding.
      if (appended > 0 && appended <= reader.snapshot) await removeFile(numbered(paths.events, appended))
      const next = decide(state)
      if ('done' in next) {
        const length = Math.max(state.seq - reader.snapshot, reader.voids)
        // Nobody waits for who has let go of the lock; it falls to others only where nobody does.
        const isLong = length > compactAfter * (letGo ? 1 : 4)
        if (appended > 0 && isLong) await compact(paths, state).catch(leaveToNext)
        return next.done
      }
      const seq = state.seq + 1
      if (await append(next.append, seq)) {
        appended = seq
        letGo = next.append.kind === 'released'
        events++
      } else {
        // Somebody was faster; the more often that happens, the more there are.
        await sleep(jitter(Math.min(MOST_PAUSE_MS, PAUSE_MS * ++lost)))
      }
    }
    throw new WorkspaceError('INTERNAL', `a change of the lock ${paths.name} did not come to an end`)
  }

  return {
    read: () => reader.read(),
    change: settle,
  }
}

/** Compaction only saves reading: whoever appends next tries again. */
function leaveToNext(): void {}
