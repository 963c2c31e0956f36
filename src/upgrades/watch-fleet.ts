/**
 * Watches the consumers of a fleet as a leader: for how long it has seen no sign of life of each, on its own clock and
 * between looks that succeeded.
 */
import { createWatch, type Watch } from '../locks/index.ts'
import { monotonic } from '../platform/clock.ts'
import type { Liveness } from '../volume/liveness.ts'
import type { Volume } from '../volume/volume.ts'
import { listConsumers, type Consumer } from './consumers.ts'
import type { Member } from './decide.ts'
import { nameLock, nameLocks } from './hold-name.ts'
import { placeOf } from './places.ts'

export interface FleetWatch {
  /** Who is in the fleet, as watched until now. Whoever is gone by the API is not. */
  look(): Promise<Member[]>
  /** From now on it is their turn. */
  turn(consumers: readonly string[]): void
}

interface Watched {
  watch: Watch
  /** The signs of life seen last, and how often they have changed. */
  signs: string
  changes: number
  /** Watched before its turn came. */
  turnAtMs: number | undefined
}

/** Two looks further apart have nothing watched between them. */
const MAX_GAP_MS = 5_000

export interface FleetWatchOptions {
  volume: Volume
  fleet: string
  liveness: Liveness
  /** Silent for so long, the API is asked about it. */
  askAfterMs: number
}

export function watchFleet({ volume, fleet, liveness, askAfterMs }: FleetWatchOptions): FleetWatch {
  const watched = new Map<string, Watched>()

  async function member(consumer: Consumer): Promise<Member | undefined> {
    const { name, state } = consumer
    const startedAt = monotonic()
    const signs = await signsOf(consumer)
    const known = watched.get(name) ?? start(name)
    if (signs !== known.signs) {
      known.signs = signs
      known.changes++
    }
    known.watch.observe({ startedAt, endedAt: monotonic(), beat: known.changes })
    const { ms, unchangedMs } = known.watch.total()
    if (unchangedMs > askAfterMs && (await isGone(consumer))) return undefined
    const turnMs = known.turnAtMs === undefined ? undefined : ms - known.turnAtMs
    return { name, state, silentMs: unchangedMs, calledMs: ms, turnMs }
  }

  function start(name: string): Watched {
    const fresh = { watch: createWatch(undefined, MAX_GAP_MS), signs: '', changes: 0, turnAtMs: undefined }
    watched.set(name, fresh)
    return fresh
  }

  /** Its beats, and what it last said. */
  async function signsOf({ name, state }: Consumer): Promise<string> {
    const locks = nameLocks(volume, placeOf(volume.layout, fleet, name))
    const beats = await locks.open(nameLock(fleet, name)).beats()
    return JSON.stringify([...beats, state])
  }

  async function isGone({ state: { pod } }: Consumer): Promise<boolean> {
    return (await liveness({ kind: 'Pod', ...pod })).state === 'gone'
  }

  return {
    async look() {
      const consumers = await listConsumers(volume.layout, fleet)
      return (await Promise.all(consumers.map(member))).filter((one) => one !== undefined)
    },
    turn(names) {
      for (const name of names) {
        const known = watched.get(name) ?? start(name)
        known.turnAtMs = known.watch.total().ms
      }
    },
  }
}
