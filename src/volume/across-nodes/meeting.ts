/** How two processes on two nodes meet and talk over the volume: each says a thing once, as a file of its own. */
import { join } from 'node:path'
import { WorkspaceError } from '../../errors.ts'
import { jitter, monotonic, sleep } from '../../platform/clock.ts'
import * as fs from '../../platform/fs.ts'
import { publishFile } from '../publish.ts'

export type Side = 0 | 1
export const otherSide = (side: Side): Side => (side === 0 ? 1 : 0)

export interface Meeting {
  /** Says `words` at that point. @throws WorkspaceError USAGE where somebody has spoken there for this side. */
  tell(point: string, words?: unknown): Promise<void>
  /** What the other side says at that point. @throws WorkspaceError STORAGE_IO where it does not in time. */
  hear(point: string): Promise<unknown>
  /** Both: nobody goes on before both have come there. */
  exchange(point: string, words?: unknown): Promise<unknown>
}

const LISTEN_EVERY_MS = 20

export function openMeeting(folder: string, side: Side, patienceMs: number, signal: AbortSignal): Meeting {
  const fileOf = (point: string, who: Side): string => `${point}.${who}`

  async function tell(point: string, words: unknown = null): Promise<void> {
    if (await publishFile(join(folder, fileOf(point, side)), JSON.stringify(words))) return
    throw new WorkspaceError('USAGE', `somebody else is side ${side} of this probe`, {
      expected: 'two processes with the same session, one of side 0 and one of side 1',
      found: `${fileOf(point, side)} in ${folder}`,
      hint: 'start the probe anew, with a session of its own',
    })
  }

  async function hear(point: string): Promise<unknown> {
    const name = fileOf(point, otherSide(side))
    const until = monotonic() + patienceMs
    for (;;) {
      // By listing: on NFS only a listing is fresh.
      const text = (await fs.list(folder)).some((entry) => entry.name === name)
        ? await fs.readIfThere(join(folder, name))
        : undefined
      if (text !== undefined) return JSON.parse(text)
      if (monotonic() >= until) throw silent(point, patienceMs)
      await sleep(jitter(LISTEN_EVERY_MS), signal)
    }
  }

  return {
    tell,
    hear,
    async exchange(point, words) {
      await tell(point, words)
      return hear(point)
    },
  }
}

const silent = (point: string, patienceMs: number): WorkspaceError =>
  new WorkspaceError(
    'STORAGE_IO',
    `whether locks exclude across nodes stays unknown: nothing was heard of the other side at "${point}"`,
    {
      expected: `the other side on the same volume within ${patienceMs / 1000} s`,
      found: 'nothing of it there',
      hint: 'look whether the other pod runs, on another node, and whether both have the same volume mounted',
    },
  )
