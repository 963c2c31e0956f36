import { readdir, rm, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Event } from '../../src/events.ts'
import type { Identity } from '../../src/identity.ts'
import {
  acquire,
  release,
  volumeLocks,
  type AcquireOptions,
  type Outcome,
  type Released,
} from '../../src/locks/index.ts'
import type { StoredEvent } from '../../src/locks/format.ts'
import type { Tuning } from '../../src/locks/tuning.ts'
import type { Liveness, Verdict } from '../../src/volume/liveness.ts'
import { readText } from '../../src/volume/short-text.ts'
import { ensureVolume, type Volume } from '../../src/volume/volume.ts'
import { temporaryFolder } from '../support/folder.ts'
import { FAST, LOCK } from './people.ts'

export { FAST, identityOf, LOCK } from './people.ts'

export const newVolume = async (): Promise<Volume> => ensureVolume(await temporaryFolder(), () => {})

/** Liveness by hand: everybody is alive until said otherwise, by the name of the owner. */
export function fakeLiveness(): Liveness & {
  verdicts: Map<string, Verdict>
  asked: string[]
  kill(name: string): void
} {
  const verdicts = new Map<string, Verdict>()
  const asked: string[] = []
  const liveness: Liveness = async ({ name }) => {
    asked.push(name)
    return verdicts.get(name) ?? { state: 'alive', why: `${name} runs` }
  }
  const kill = (name: string): void =>
    void verdicts.set(name, { state: 'gone', evidence: `${name} was deleted` })
  return Object.assign(liveness, { verdicts, asked, kill })
}

export interface Actor {
  identity: Identity
  events: Event[]
  abort: AbortController
  acquire(options?: Partial<AcquireOptions>): Promise<Outcome>
  release(epoch?: number): Promise<Released>
}

export function actor(
  volume: Volume,
  liveness: Liveness,
  identity: Identity,
  tuning: Partial<Tuning> = {},
): Actor {
  const events: Event[] = []
  const abort = new AbortController()
  const fast = { ...FAST, ...tuning }
  const emit = (event: Event): void => void events.push(event)
  const locks = volumeLocks(volume, fast)
  return {
    identity,
    events,
    abort,
    acquire: (options = {}) =>
      acquire(locks, LOCK, {
        identity,
        scope: 'run',
        policy: 'wait',
        timeoutMs: 20_000,
        liveness,
        emit,
        signal: abort.signal,
        tuning: fast,
        ...options,
      }),
    release: (epoch) => release(locks, LOCK, { identity, epoch, emit }),
  }
}

export const folderOf = (volume: Volume, what: string): string => join(volume.layout.lock(LOCK), what)

export async function storedEvents(volume: Volume, lock = LOCK): Promise<StoredEvent[]> {
  const folder = join(volume.layout.lock(lock), 'events')
  const names = (await readdir(folder)).filter((name) => /^\d+$/.test(name)).sort()
  return Promise.all(
    names.map(async (name) => JSON.parse((await readText(join(folder, name))) ?? '') as StoredEvent),
  )
}

/** Puts another text in the place of an event, as no step does: as a file where it is empty. */
export async function rewriteEvent(path: string, text: string): Promise<void> {
  await rm(path)
  await (text === '' ? writeFile(path, text) : symlink(text, path))
}

/** Resolves once `condition` holds. */
export async function until(condition: () => boolean | Promise<boolean>, what: string): Promise<void> {
  const deadline = performance.now() + 20_000
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`waited in vain for ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}
