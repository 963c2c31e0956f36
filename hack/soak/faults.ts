/** Kills, stops, cancels and cuts off the processes of a soak at random. */
import { execFile } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { now } from './history.ts'
import type { Fault } from './check/types.ts'
import { cancel } from './pods.ts'
import type { Process } from './process.ts'

export interface FaultOptions {
  /** Those that run now. */
  processes: () => readonly Process[]
  pods: string
  ttlMs: number
  /** Shell commands that take the second mount's network away and give it back. */
  cut: { cut: string; heal: string } | undefined
  random: () => number
}

export interface Faults {
  /** Everything that was done. */
  readonly done: Fault[]
  /** Starts another fault, unless too many processes suffer one already. */
  another(): void
  /** Resolves once all of them are over. */
  settled(): Promise<void>
}

/** After a cut is healed, a client may learn for so long what it has lost meanwhile. */
const AFTERMATH_MS = 5_000

export function createFaults({ processes, pods, ttlMs, cut, random }: FaultOptions): Faults {
  const done: Fault[] = []
  const suffering = new Map<Process, Promise<void>>()
  let cutting: Promise<void> | undefined
  const kinds = { kill, pause, cancel: cancelRun }

  function another(): void {
    if (cut && !cutting && random() < 0.25) {
      cutting = cutOff(cut).finally(() => (cutting = undefined))
      return
    }
    const all = processes()
    const healthy = all.filter((process) => !suffering.has(process) && process.killedAt === undefined)
    if (suffering.size >= all.length / 2 || healthy.length === 0) return
    const victim = healthy[Math.floor(random() * healthy.length)]!
    const kind = (['kill', 'pause', 'cancel'] as const)[Math.floor(random() * 3)]!
    suffering.set(
      victim,
      kinds[kind](victim).finally(() => suffering.delete(victim)),
    )
  }

  async function kill(victim: Process): Promise<void> {
    victim.kill()
    done.push({ fault: 'kill', worker: victim.id, from: victim.killedAt! })
  }

  async function pause(victim: Process): Promise<void> {
    const fault: Fault = { fault: 'pause', worker: victim.id, from: now() }
    done.push(fault)
    victim.pause()
    await sleep(ttlMs * (1.2 + 1.3 * random()))
    victim.resume()
    fault.until = now()
  }

  /** The run is over at once; its process goes on for a while, as one does that ignores SIGTERM. */
  async function cancelRun(victim: Process): Promise<void> {
    done.push({ fault: 'cancel', worker: victim.id, from: now() })
    await cancel(pods, victim.id)
    await sleep(ttlMs * random())
    await kill(victim)
  }

  async function cutOff(commands: { cut: string; heal: string }): Promise<void> {
    const hit = processes().filter(({ mount }) => mount === 1)
    const from = now()
    const faults = hit.map(({ id }): Fault => ({ fault: 'cut', worker: id, from }))
    done.push(...faults)
    try {
      await shell(commands.cut)
      await sleep(ttlMs * (1.2 + 1.3 * random()))
    } finally {
      await shell(commands.heal)
      for (const fault of faults) fault.until = now() + AFTERMATH_MS * 1000
    }
  }

  return {
    done,
    another,
    async settled() {
      await Promise.all([...suffering.values(), cutting])
    },
  }
}

const shell = async (command: string): Promise<void> => {
  await promisify(execFile)('sh', ['-c', command])
}
