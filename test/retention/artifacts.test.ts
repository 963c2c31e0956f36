import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { ORIGIN_ANNOTATIONS } from '../../src/artifacts/format.ts'
import { artifactName } from '../../src/retention/artifact-name.ts'
import type { Liveness } from '../../src/volume/liveness.ts'
import type { Volume } from '../../src/volume/volume.ts'
import { identity, makeTree, newFolder, newVolume, readTree, retrieve, store } from '../artifacts/support.ts'
import { age, blobsOf, clean, restore } from './support.ts'

const WEEK = { artifactRetention: 7 * 8.64e7 }

/** Stores build/out in each of these runs, one after the other, so many days ago. */
async function volumeWith(...runs: [name: string, days: number][]): Promise<Volume> {
  const volume = await newVolume()
  for (const [run, days] of runs) {
    await store(volume, await makeTree({ file: run }), { identity: identity({ run }) })
    await age(join(volume.layout.artifacts, `uid-${run}`), days)
  }
  return volume
}

const outputsOf = (volume: Volume): Promise<string[]> => readdir(volume.layout.artifacts)

describe('artifacts', () => {
  it('of runs that are gone go through trash when they are old, and can be restored', async () => {
    const volume = await volumeWith(['app-bcdfg', 8], ['app-hjklm', 6], ['app-npqrs', 0])
    const { planned, removed } = await clean(volume, WEEK)
    expect(planned).toEqual({ trash: ['artifacts/uid-app-bcdfg/build/out'] })
    expect(removed).toBe(1)
    // No empty folders stay.
    expect(await outputsOf(volume)).toEqual(['uid-app-hjklm', 'uid-app-npqrs'])
    for (let n = 0; n < 3; n++) await clean(volume)
    await restore(volume, 'artifacts/uid-app-bcdfg')
    const target = join(await newFolder(), 'target')
    await retrieve(volume, target, { run: 'uid-app-bcdfg' })
    expect(Object.keys(await readTree(target))).toEqual(['file'])
  })

  it('give their blobs back in the end, and no others', async () => {
    const volume = await volumeWith(['app-bcdfg', 8], ['app-hjklm', 0])
    await clean(volume, WEEK)
    for (let n = 0; n < 4; n++) await clean(volume, { trashRetention: 1 })
    expect(await blobsOf(volume)).toHaveLength(3)
    const target = join(await newFolder(), 'target')
    await retrieve(volume, target, { run: 'uid-app-hjklm' })
    expect(await readdir(volume.layout.artifacts)).toEqual(['uid-app-hjklm'])
  })

  it('that are the newest of their name stay, however old', async () => {
    const volume = await volumeWith(['app-bcdfg', 90], ['app-hjklm', 60], ['other-1', 90], ['other-2', 80])
    await clean(volume, WEEK)
    expect(await outputsOf(volume)).toEqual(['uid-app-hjklm', 'uid-other-2'])
  })

  it('that are the newest, but not whole any more, do not stand in for one that is', async () => {
    const volume = await volumeWith(['app-bcdfg', 90])
    const before = await blobsOf(volume)
    await store(volume, await makeTree({ file: 'lost' }), { identity: identity({ run: 'app-hjklm' }) })
    await age(join(volume.layout.artifacts, 'uid-app-hjklm'), 60)
    const lost = (await blobsOf(volume)).filter((hex) => !before.includes(hex))
    // Not the manifest: its index.
    for (const hex of lost) {
      if ((await readFile(volume.layout.blob(hex))).includes('"frameSize"')) await rm(volume.layout.blob(hex))
    }
    await clean(volume, WEEK)
    expect(await outputsOf(volume)).toEqual(['uid-app-bcdfg'])
  })

  it('of runs that are alive stay, and of runs that nothing tells about are reported', async () => {
    const volume = await volumeWith(['app-bcdfg', 30], ['app-hjklm', 30], ['app-npqrs', 30], ['app-tvwxz', 0])
    const asked: string[] = []
    const liveness: Liveness = ({ name }) => {
      asked.push(name)
      if (name === 'app-bcdfg') return Promise.resolve({ state: 'alive', why: 'it runs' })
      if (name === 'app-hjklm') return Promise.resolve({ state: 'unknown', why: 'HTTP 403' })
      return Promise.resolve({ state: 'gone', evidence: 'it is finished' })
    }
    const { planned, events } = await clean(volume, WEEK, { liveness })
    expect(planned).toEqual({ trash: ['artifacts/uid-app-npqrs/build/out'] })
    expect(events).toContainEqual({
      event: 'retention-blocked',
      path: 'artifacts/uid-app-hjklm',
      why: expect.stringContaining('HTTP 403'),
    })
    // Nobody is asked about what is too young.
    expect(asked.sort()).toEqual(['app-bcdfg', 'app-hjklm', 'app-npqrs'])
  })

  it.each(['', 'build/out'])('that are pinned at %j stay', async (place) => {
    const volume = await volumeWith(['app-bcdfg', 30], ['app-hjklm', 0])
    await writeFile(join(volume.layout.artifacts, 'uid-app-bcdfg', place, '.pinned'), '')
    await age(volume.layout.artifacts, 30)
    expect((await clean(volume, WEEK)).planned).toEqual({})
  })

  it('that were stored or retrieved within the grace stay', async () => {
    const volume = await volumeWith(['app-bcdfg', 0], ['app-hjklm', 0])
    expect((await clean(volume, { artifactRetention: 0, grace: 3.6e6 })).planned).toEqual({})
  })
})

describe('entries of the cache', () => {
  it('go a key at a time when nobody used them, and their blobs after them', async () => {
    const volume = await volumeWith(['app-bcdfg', 0], ['app-hjklm', 0])
    const scope = join(volume.layout.cache, 'repo')
    await mkdir(scope, { recursive: true })
    await rename(join(volume.layout.artifacts, 'uid-app-bcdfg/build/out'), join(scope, 'blobs-old'))
    await rename(join(volume.layout.artifacts, 'uid-app-hjklm/build/out'), join(scope, 'used'))
    await age(scope, 4)
    await writeFile(join(scope, 'used', 'used'), '')
    const { planned } = await clean(volume, { cacheRetention: 3 * 8.64e7 })
    expect(planned).toEqual({ trash: ['shared/cache/repo/blobs-old'] })
    for (let n = 0; n < 4; n++) await clean(volume, { trashRetention: 1 })
    expect(await blobsOf(volume)).toHaveLength(3)
  })
})

describe('the name of an artifact', () => {
  const nameOf = (run: string, task = 'build', taskRun = `${run}-${task}`): string =>
    artifactName(
      {
        [ORIGIN_ANNOTATIONS.namespace]: 'ns',
        [ORIGIN_ANNOTATIONS.runName]: run,
        [ORIGIN_ANNOTATIONS.taskRunName]: taskRun,
      },
      task,
      'out',
    )

  it.each([
    ['app-x7k2p', 'app'],
    ['app-bcdfg', 'app'],
    ['app-build-42', 'app-build'],
    ['app-42-x7k2p', 'app'],
    ['nightly-2026-01-31', 'nightly'],
    ['release-v1.2', 'release'],
    ['app-debug', 'app-debug'],
    ['app', 'app'],
    ['42', '42'],
  ])('of run %s is that of %s', (run, stem) => expect(nameOf(run)).toBe(`ns/${stem}/build/out`))

  it('tells the combinations of a matrix apart, and no runs', () => {
    const of = (run: string, n: number): string => nameOf(run, `test.${run}-test-${n}`, `${run}-test-${n}`)
    expect(of('app-x7k2p', 0)).toBe(of('app-bcdfg', 0))
    expect(of('app-x7k2p', 0)).not.toBe(of('app-x7k2p', 1))
  })

  it('of a TaskRun by itself is its own, without what was made up', () => {
    expect(nameOf('once-x7k2p', 'once-x7k2p', 'once-x7k2p')).toBe('ns/once/once/out')
  })
})
