/**
 * A process with many waiters for one lock. They come one after the other; once all wait it prints `queued`, and
 * `acquired <name>` for each that comes in, which releases at once. On SIGTERM those who still wait give up.
 */
import { acquire, release, volumeLocks } from '../../src/locks/index.ts'
import { openVolume } from '../../src/volume/volume.ts'
import { identityOf, LOCK } from './support.ts'

export interface QueueOptions {
  root: string
  id: string
  waiters: number
}

const { root, id, waiters } = JSON.parse(process.argv[2]!) as QueueOptions
const volume = await openVolume(root)
const locks = volumeLocks(volume)
/** 1,000 waiters of a cluster look from many machines; here, two processors look for all of them. */
const tuning = { waiterPollMs: 60_000, waiterReadMs: 300_000 }
const stop = new AbortController()
process.once('SIGTERM', () => stop.abort(new Error('stopped')))

async function waitInLine(name: string, queued: () => void): Promise<void> {
  const identity = identityOf(name, 'deploy')
  const common = { identity, emit: queued }
  try {
    const held = await acquire(locks, LOCK, {
      ...common,
      scope: 'run',
      policy: 'wait',
      timeoutMs: 600_000,
      liveness: async () => ({ state: 'alive', why: 'it is here' }),
      signal: stop.signal,
      tuning,
    })
    if (!held.acquired) throw new Error('the policy wait never skips')
    console.log(`acquired ${name}`)
    await release(locks, LOCK, { ...common, epoch: held.epoch })
  } catch (error) {
    if (!stop.signal.aborted) throw error
  }
}

const all: Promise<void>[] = []
for (let n = 0; n < waiters; n++)
  await new Promise<void>((queued) => all.push(waitInLine(`${id}-${n}`, queued)))
console.log('queued')
await Promise.all(all)
