/** Which versions of a tool retention takes. */
import { mkdir, readdir, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import type { Target } from '../../src/upgrades/index.ts'
import type { State } from '../../src/upgrades/format.ts'
import { placeOf, targetOf } from '../../src/upgrades/places.ts'
import type { Volume } from '../../src/volume/volume.ts'
import { clean } from '../retention/support.ts'
import { runStep } from '../support/step.ts'
import { FLEET, installVersion, newVolume, TOOL } from './support.ts'

const WEEK = 7 * 8.64e7
const policy = { toolRetention: WEEK }
const platforms = ['1', '2', '3', '4'].map((version) => join('tools', TOOL, version))

const age = async (path: string, days = 8): Promise<void> => {
  const at = Date.now() / 1000 - days * 86_400
  await utimes(path, at, at)
}

async function volumeWithVersions(): Promise<Volume> {
  const volume = await newVolume()
  for (const version of ['1', '2', '3', '4']) {
    await installVersion(volume, version)
    const folder = volume.layout.tool(TOOL, version)
    for (const name of await readdir(folder)) await age(join(folder, name))
  }
  return volume
}

const target = (over: Partial<Target> = {}): Target => ({
  v: 1,
  call: '00000000-0000-4000-8000-000000000000',
  tool: TOOL,
  version: '3',
  previous: '2',
  phase: 'done',
  switched: [],
  failed: [],
  reason: '',
  code: '',
  by: '',
  at: '',
  ...over,
})

async function pointTo(folder: string, value: object | string): Promise<void> {
  await mkdir(folder, { recursive: true })
  await writeFile(join(folder, '1.0'), typeof value === 'string' ? value : JSON.stringify(value))
}

const state = (version: string): State => ({
  v: 1,
  phase: 'healthy',
  tool: TOOL,
  version,
  platform: 'linux-amd64',
  call: '',
  message: '',
  switchMs: 1,
  pod: { namespace: 'ci', name: 'p', uid: 'u' },
  node: '',
  at: '',
})

const trashedOf = async (volume: Volume): Promise<string[]> =>
  ((await clean(volume, policy)).planned['trash'] ?? []).map((path) => path.split('/').slice(0, 3).join('/'))

describe('retention', () => {
  it('takes old versions that no fleet is on, goes to or may go back to', async () => {
    const volume = await volumeWithVersions()
    await pointTo(targetOf(volume.layout, FLEET), target())
    await pointTo(placeOf(volume.layout, FLEET, 'w1').states, state('4'))
    expect(await trashedOf(volume)).toEqual([platforms[0]])
  })

  it('keeps what was used within its time, and takes nothing at all where a fleet cannot be read', async () => {
    const volume = await volumeWithVersions()
    const [used] = await readdir(volume.layout.tool(TOOL, '2'))
    await age(join(volume.layout.tool(TOOL, '2'), used!), 6)
    await pointTo(targetOf(volume.layout, FLEET), 'damaged')
    const { planned, events } = await clean(volume, policy)
    expect(planned['trash']).toBeUndefined()
    expect(events).toContainEqual(expect.objectContaining({ event: 'retention-blocked', path: 'fleets' }))

    await pointTo(targetOf(volume.layout, FLEET), target())
    expect(await trashedOf(volume)).toEqual([platforms[0], platforms[3]])
  })

  it('counts from the last task that has found a version', async () => {
    const volume = await volumeWithVersions()
    const { root } = volume.layout
    const params = { name: TOOL, version: '2', role: 'wait' }
    const options = { params, args: ['http://127.0.0.1:1/'], workspaces: { shared: root }, resultsIn: root }
    expect((await runStep('tool-install', options)).results['hit']).toBe('shared')
    expect(await trashedOf(volume)).toEqual([platforms[0], platforms[2], platforms[3]])
  })

  it('takes a consumer that is not heard of any more, with all that is its own', async () => {
    const volume = await newVolume()
    const [old, young] = ['w1', 'w2'].map((name) => placeOf(volume.layout, FLEET, name))
    for (const { states } of [old!, young!]) await pointTo(states, state('1'))
    for (const path of [join(old!.states, '1.0'), old!.states, old!.folder]) await age(path)
    expect((await clean(volume, policy)).planned['trash']).toEqual([`fleets/${FLEET}/consumers/w1`])
    expect(await readdir(join(volume.layout.fleet(FLEET), 'consumers'))).toEqual(['w2'])
  })
})
