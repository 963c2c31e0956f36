/** Locks on the shared volume: a log of exclusively linked events, and heartbeats that are names in a folder. */
import * as fs from '../../platform/fs.ts'
import type { Volume } from '../../volume/volume.ts'
import type { LockBackend } from '../backend.ts'
import { TUNING, type Tuning } from '../tuning.ts'
import { listBeats, removeBeats, startBeating } from './heartbeat.ts'
import { openLog } from './log.ts'
import { pathsOf, prepare } from './paths.ts'

/** `tuning` is for tests. */
export function volumeLocks(volume: Volume, tuning: Partial<Tuning> = {}): LockBackend {
  return {
    open(name) {
      const paths = pathsOf(volume, name)
      return {
        name,
        prepare: () => prepare(paths),
        ...openLog(paths, { ...TUNING, ...tuning }),
        beats: () => listBeats(paths.heartbeats),
        startBeating: (ticket, everyMs) => startBeating(paths.heartbeats, ticket, everyMs),
        removeBeats: (ticket) => removeBeats(paths.heartbeats, ticket),
      }
    },
    async names() {
      const entries = await fs.list(volume.layout.locks)
      return entries
        .filter((entry) => entry.isDirectory() && !entry.name.startsWith('.'))
        .map((entry) => entry.name)
    },
  }
}
