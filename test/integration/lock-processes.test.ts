import { mkdir, readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { execa } from 'execa'
import { describe, expect, test } from 'vitest'
import { listEntries } from '../../src/volume/publish.ts'
import type { Volume } from '../../src/volume/volume.ts'
import type { StoredEvent } from '../../src/locks/format.ts'
import { newVolume, storedEvents } from '../locks/support.ts'
import type { WorkerOptions } from '../locks/worker.ts'

const WORKER = join(import.meta.dirname, '../locks/worker.ts')
const NEVER = 1_000_000
const EACH = 5

/** Each acquires a few times, and the first ones are killed at it; for each of those another comes. */
const cases = [
  { title: 'with a log that only grows', workers: 8, kills: 4, compactAfter: NEVER },
  { title: 'compacting all the time', workers: 8, kills: 4, compactAfter: 3 },
]

describe('processes that count under a lock while some are killed', () => {
  test.for(cases)('$title', async ({ workers, kills, compactAfter }) => {
    const volume = await newVolume()
    await mkdir(join(volume.layout.root, 'alive'))
    const start = (id: string) => {
      const options: WorkerOptions = {
        root: volume.layout.root,
        id,
        acquisitions: EACH,
        compactAfter,
      }
      return execa('node', [WORKER, JSON.stringify(options)], { reject: false, timeout: 50_000 })
    }
    const running = Array.from({ length: workers }, (_, n) => start(`w${n}`))
    for (let n = 0; n < kills; n++) {
      await new Promise((resolve) => setTimeout(resolve, 300 + Math.random() * 300))
      running[n]!.kill('SIGKILL')
      running.push(start(`r${n}`))
    }
    const results = await Promise.all(running)

    const failed = results.filter((result) => result.exitCode !== 0 && result.signal !== 'SIGKILL')
    expect(failed.map(({ shortMessage, stderr }) => `${shortMessage} ${stderr}`)).toEqual([])
    expect(results.some((result) => result.signal === 'SIGKILL')).toBe(true)
    const values = await countedValues(volume)
    expect(values).toEqual(values.map((_, index) => index + 1))
    expect(values.length).toBeGreaterThanOrEqual(workers * EACH)
    expect(await problems(volume, compactAfter)).toEqual([])
  })
})

/** What each epoch that counted left, in the order of epochs: each has added one to what it found. */
async function countedValues(volume: Volume): Promise<number[]> {
  const folder = join(volume.layout.root, 'counter')
  const counted = (await listEntries(folder)).filter((entry) => entry.n === 1)
  return Promise.all(counted.map(async ({ name }) => Number(await readFile(join(folder, name), 'utf8'))))
}

/** What is wrong with the log: read whole where it is, or by its size where it was compacted. */
async function problems(volume: Volume, compactAfter: number): Promise<string[]> {
  const events = await storedEvents(volume, 'counter')
  if (compactAfter === NEVER) return wrongTurns(events)
  // What a killed process left half done is left to the next compaction.
  const snapshots = await readdir(join(volume.layout.lock('counter'), 'snapshot'))
  const few = events.length < 20 && snapshots.length >= 1 && snapshots.length < 6
  return few ? [] : [`${events.length} events, ${snapshots.length} snapshots`]
}

/** Never granted while held, and always to whoever has waited longest. */
function wrongTurns(events: readonly StoredEvent[]): string[] {
  const wrong: string[] = []
  const queue: string[] = []
  let holder: string | undefined
  for (const event of events) {
    if (event.kind === 'queued') queue.push(event.request.ticket)
    else if (event.kind === 'granted') {
      if (holder) wrong.push(`${event.seq} grants a lock that is held`)
      const first = queue.shift()
      if (first && first !== event.request.ticket) wrong.push(`${event.seq} grants out of turn`)
      holder = event.request.ticket
    } else if (event.kind === 'dropped' || event.kind === 'withdrawn') {
      queue.splice(queue.indexOf(event.ticket), 1)
    } else holder = undefined
  }
  return holder || queue.length > 0 ? [...wrong, 'somebody is left in it'] : wrong
}
