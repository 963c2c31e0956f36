/** What a leader sees of consumers that are files made by hand. */
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { placeOf } from '../../src/upgrades/places.ts'
import type { State } from '../../src/upgrades/format.ts'
import { watchFleet } from '../../src/upgrades/watch-fleet.ts'
import type { Liveness } from '../../src/volume/liveness.ts'
import type { Volume } from '../../src/volume/volume.ts'
import { FLEET, newVolume, TOOL, until } from './support.ts'

const TICKET = '00000000-0000-4000-8000-000000000000'

async function say(volume: Volume, name: string, phase: State['phase'], n = 0): Promise<void> {
  const { states } = placeOf(volume.layout, FLEET, name)
  await mkdir(states, { recursive: true })
  const state: State = {
    v: 1,
    phase,
    tool: TOOL,
    version: '1',
    platform: 'linux-amd64',
    call: '',
    message: '',
    switchMs: 1,
    pod: { namespace: 'ci', name, uid: `uid-of-${name}` },
    node: '',
    at: '',
  }
  await writeFile(join(states, `1.${n}`), JSON.stringify(state))
}

async function beat(volume: Volume, name: string, n: number): Promise<void> {
  const folder = join(placeOf(volume.layout, FLEET, name).lock, 'heartbeats')
  await mkdir(folder, { recursive: true })
  await writeFile(join(folder, `${TICKET}.${n}`), '')
}

const watchOf = (volume: Volume, liveness: Liveness, askAfterMs = 50) =>
  watchFleet({ volume, fleet: FLEET, liveness, askAfterMs })

const nobodyKnows: Liveness = async () => ({ state: 'unknown', why: 'there is nobody to ask' })

describe('a leader', () => {
  it('counts since the last sign of life: a beat, or something said', async () => {
    const volume = await newVolume()
    await say(volume, 'w1', 'healthy')
    const watch = watchOf(volume, nobodyKnows)
    const silent = async () => (await watch.look())[0]!.silentMs
    for (let n = 0; n < 2; n++) {
      await until('silence', async () => (await silent()) > 100)
      await (n === 0 ? beat(volume, 'w1', 7) : say(volume, 'w1', 'failed', 1))
      expect(await silent()).toBe(0)
    }
  })

  it('leaves out who was told to stop, and who is silent and gone by the API', async () => {
    const volume = await newVolume()
    for (const name of ['w1', 'w2', 'w3']) await say(volume, name, name === 'w3' ? 'stopped' : 'healthy')
    const asked = new Set<string>()
    const watch = watchOf(volume, async ({ kind, name, uid }) => {
      asked.add(`${kind} ${name} ${uid}`)
      return name === 'w1' ? { state: 'gone', evidence: 'it is deleted' } : nobodyKnows({} as never)
    })
    const names = async () => (await watch.look()).map(({ name }) => name)
    expect(await names()).toEqual(['w1', 'w2'])
    expect(asked).toEqual(new Set())
    await until('w1 to be left out', async () => (await names()).join() === 'w2')
    expect([...asked].sort()).toEqual(['Pod w1 uid-of-w1', 'Pod w2 uid-of-w2'])
  })

  it('counts a turn from when it was given', async () => {
    const volume = await newVolume()
    await say(volume, 'w1', 'healthy')
    const watch = watchOf(volume, nobodyKnows)
    const look = async () => (await watch.look())[0]!
    await until('some time', async () => (await look()).calledMs > 100)
    expect((await look()).turnMs).toBeUndefined()
    watch.turn(['w1'])
    await until('the turn to last', async () => ((await look()).turnMs ?? 0) > 50)
    const { calledMs, turnMs } = await look()
    expect(calledMs - turnMs!).toBeGreaterThan(100)
  })
})
