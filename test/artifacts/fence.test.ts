import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { WorkspaceError } from '../../src/errors.ts'
import { injectFault } from '../../src/platform/fs.ts'
import { opened } from '../../src/stores/open.ts'
import { volumeArtifacts } from '../../src/stores/volume-artifacts.ts'
import type { Fence } from '../../src/volume/fence.ts'
import type { Volume } from '../../src/volume/volume.ts'
import {
  identity,
  makeTree,
  newFolder,
  newVolume,
  outputFolder,
  readTree,
  retrieve,
  store,
} from './support.ts'

afterEach(() => injectFault(undefined))

const fence = (epoch: number): Fence => ({ name: `deploy@${epoch}`, epoch, check: async () => {} })
const retry = (n: number) => identity({ pod: `retry-${n}` })
const entries = (volume: Volume) => readdir(outputFolder(volume))

async function storeText(volume: Volume, text: string, more: Parameters<typeof store>[2] = {}) {
  return store(volume, await makeTree({ file: text }), more)
}

/** What a reader gets, who seals it by that. */
async function seen(volume: Volume): Promise<string> {
  const target = join(await newFolder(), 'target')
  await retrieve(volume, target)
  return Buffer.from((await readTree(target))['file']!.split(' ')[2]!, 'base64').toString()
}

function before(operation: string, path: string, act: () => Promise<unknown>): void {
  let done = false
  injectFault(async (now, where) => {
    if (done || now !== operation || where !== path) return
    done = true
    await act()
  })
}

describe('an artifact that is stored with a fence', () => {
  it('is read like any other', async () => {
    const volume = await newVolume()
    await storeText(volume, 'one', { fence: fence(3) })
    expect(await seen(volume)).toBe('one')
    expect(await entries(volume)).toEqual(['3.0', '3.1', '3.2'])
  })

  it('replaces that of an earlier epoch, after which that epoch changes nothing', async () => {
    const volume = await newVolume()
    await storeText(volume, 'one', { fence: fence(3) })
    await storeText(volume, 'two', { fence: fence(8), identity: retry(1) })
    const late = storeText(volume, 'late', { fence: fence(3), identity: retry(2) })
    await expect(late).rejects.toMatchObject({ code: 'STALE_LOCK' })
    expect(await seen(volume)).toBe('two')
  })

  it('is not changed by what an earlier epoch had on its way', async () => {
    const volume = await newVolume()
    await storeText(volume, 'one', { fence: fence(3) })
    before('rename', join(outputFolder(volume), '3.2'), () =>
      storeText(volume, 'new', { fence: fence(8), identity: retry(2) }),
    )
    const late = storeText(volume, 'late', { fence: fence(3), identity: retry(1) })
    await expect(late).rejects.toMatchObject({ code: 'STALE_LOCK' })
    expect(await entries(volume)).toEqual(['3.0', '3.1', '3.2', '8.0', '8.1'])
    expect(await seen(volume)).toBe('new')
  })

  it('fences earlier epochs off also where its content is what is there already', async () => {
    const volume = await newVolume()
    const one = await storeText(volume, 'one', { fence: fence(3) })
    expect(await storeText(volume, 'one', { fence: fence(8), identity: retry(1) })).toEqual(one)
    await expect(storeText(volume, 'late', { fence: fence(3), identity: retry(2) })).rejects.toMatchObject({
      code: 'STALE_LOCK',
    })
    expect(await seen(volume)).toBe('one')
  })

  it('does not replace what somebody has retrieved in an earlier epoch', async () => {
    const volume = await newVolume()
    await storeText(volume, 'one', { fence: fence(3) })
    expect(await seen(volume)).toBe('one')
    const other = storeText(volume, 'two', { fence: fence(8), identity: retry(1) })
    await expect(other).rejects.toMatchObject({ code: 'ARTIFACT_EXISTS' })
    expect(await seen(volume)).toBe('one')
  })

  it('keeps what was stored, and retrieved, while its epoch began', async () => {
    const volume = await newVolume()
    before('link', join(outputFolder(volume), '8.0'), async () => {
      await storeText(volume, 'just in time', { fence: fence(3) })
      expect(await seen(volume)).toBe('just in time')
    })
    const other = storeText(volume, 'two', { fence: fence(8), identity: retry(1) })
    await expect(other).rejects.toMatchObject({ code: 'ARTIFACT_EXISTS' })
    expect(await seen(volume)).toBe('just in time')
  })

  it('does not let an earlier epoch in where its own holder was killed before it had stored', async () => {
    const volume = await newVolume()
    const entry = (name: string): string => join(outputFolder(volume), name)
    before('rename', entry('3.1'), async () => {
      before('rename', entry('8.1'), () => Promise.reject(new Error('killed')))
      await expect(storeText(volume, 'new', { fence: fence(8), identity: retry(1) })).rejects.toThrow(
        'killed',
      )
    })
    await expect(storeText(volume, 'late', { fence: fence(3) })).rejects.toMatchObject({ code: 'STALE_LOCK' })
    expect(await entries(volume)).toEqual(['3.0', '3.1', '8.0'])
    await expect(seen(volume)).rejects.toMatchObject({ code: 'ARTIFACT_NOT_FOUND' })
  })

  it('is sealed in the epoch that came while a reader looked', async () => {
    const volume = await newVolume()
    await storeText(volume, 'one', { fence: fence(3) })
    // The reader is about to seal 3.1; by then it is another that counts.
    before('link', join(outputFolder(volume), '3.2'), () =>
      storeText(volume, 'two', { fence: fence(8), identity: retry(1) }),
    )
    expect(await seen(volume)).toBe('two')
    expect(await entries(volume)).toEqual(['3.0', '3.1', '3.2', '8.0', '8.1', '8.2'])
    const third = storeText(volume, 'three', { fence: fence(8), identity: retry(2) })
    await expect(third).rejects.toMatchObject({ code: 'ARTIFACT_EXISTS' })
  })

  it('is not stored where the hold is over', async () => {
    const volume = await newVolume()
    const over = { ...fence(3), check: async () => Promise.reject(new WorkspaceError('STALE_LOCK', 'over')) }
    await expect(storeText(volume, 'late', { fence: over })).rejects.toMatchObject({ code: 'STALE_LOCK' })
    await expect(entries(volume)).rejects.toThrow('ENOENT')
  })

  it('needs one store, since each has epochs of its own', async () => {
    const volume = await newVolume()
    const stores = [1, 2].map(() => opened(volumeArtifacts(volume)))
    await expect(storeText(volume, 'one', { fence: fence(3), stores })).rejects.toMatchObject({
      code: 'USAGE',
    })
  })
})

describe('without a fence, an output that was stored with one', () => {
  it('takes the same content', async () => {
    const volume = await newVolume()
    const one = await storeText(volume, 'one', { fence: fence(3) })
    expect(await storeText(volume, 'one', { identity: retry(1) })).toEqual(one)
  })

  it('takes no other, not even to overwrite it', async () => {
    const volume = await newVolume()
    await storeText(volume, 'one', { fence: fence(3) })
    const other = storeText(volume, 'two', { identity: retry(1), overwrite: true })
    await expect(other).rejects.toMatchObject({
      code: 'ARTIFACT_EXISTS',
      hint: expect.stringContaining('fence'),
    })
    expect(await entries(volume)).toEqual(['3.0', '3.1'])
  })
})
