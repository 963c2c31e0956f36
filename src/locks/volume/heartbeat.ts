/**
 * Heartbeats: `heartbeats/<ticket>.<n>`, where only the ticket's owner makes n + 1 and then removes n. One
 * listing shows them all, fresh, and nothing is renamed or written over.
 */
import { join } from 'node:path'
import { jitter, sleep } from '../../platform/clock.ts'
import * as fs from '../../platform/fs.ts'
import { publishText } from '../../volume/short-text.ts'
import type { Beating, Beats } from '../backend.ts'
import { removeFile } from './paths.ts'

export async function listBeats(folder: string): Promise<Beats> {
  const beats = new Map<string, number>()
  for (const { name } of await fs.list(folder)) {
    const [, ticket, n] = /^([0-9a-f-]+)\.(\d+)$/.exec(name) ?? []
    if (ticket) beats.set(ticket, Math.max(Number(n), beats.get(ticket) ?? 0))
  }
  return beats
}

/** Beats at once and then every `everyMs` with jitter, until stopped. */
export function startBeating(folder: string, ticket: string, everyMs: number): Beating {
  const stopping = new AbortController()
  let n = 0
  const loop = (async () => {
    while (!stopping.signal.aborted) {
      // One that fails is a late one; the promise leaves room for that.
      if (await beat(folder, ticket, n).catch(() => false)) n++
      await sleep(jitter(everyMs), stopping.signal).catch(() => undefined)
    }
  })()
  return {
    async stop() {
      stopping.abort()
      await loop
      await removeFile(join(folder, `${ticket}.${n - 1}`))
    },
  }
}

async function beat(folder: string, ticket: string, n: number): Promise<boolean> {
  // A name that is taken is this one's: then the answer to the first try was lost.
  await publishText(join(folder, `${ticket}.${n}`), ticket)
  if (n > 0) await removeFile(join(folder, `${ticket}.${n - 1}`))
  return true
}

/** Removes the heartbeats of a ticket that is out of the lock. */
export async function removeBeats(folder: string, ticket: string): Promise<void> {
  for (const { name } of await fs.list(folder)) {
    if (name.startsWith(`${ticket}.`)) await removeFile(join(folder, name))
  }
}
