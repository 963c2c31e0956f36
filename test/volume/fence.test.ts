import { readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { WorkspaceError } from '../../src/errors.ts'
import { injectFault } from '../../src/platform/fs.ts'
import { publishFenced, readFenced, readPointer, type Fence } from '../../src/volume/fence.ts'
import { publishEntry, publishFile } from '../../src/volume/publish.ts'
import { temporaryFolder } from '../support/folder.ts'

afterEach(() => injectFault(undefined))

const fence = (epoch: number): Fence => ({ name: `deploy@${epoch}`, epoch, check: async () => {} })
const stale = { code: 'STALE_LOCK' }
const read = async (folder: string) => (await readPointer(folder))?.toString()
const scene = async () => join(await temporaryFolder(), 'current')

/** Runs `act` before the first operation of that kind on the file of that name. */
function before(operation: string, path: string, act: () => Promise<unknown>): void {
  let done = false
  injectFault(async (now, where) => {
    if (done || now !== operation || where !== path) return
    done = true
    await act()
  })
}

describe('a pointer under a fence', () => {
  it('points to what was published last', async () => {
    const folder = await scene()
    expect(await read(folder)).toBeUndefined()
    expect(await publishFenced(folder, fence(3), 'one')).toBe('3.1')
    expect(await publishFenced(folder, fence(3), 'two')).toBe('3.2')
    expect(await read(folder)).toBe('two')
  })

  it('is repeated by the first act of a new epoch, though that only reads', async () => {
    const folder = await scene()
    await publishFenced(folder, fence(3), 'one')
    expect(String(await readFenced(folder, fence(8)))).toBe('one')
    expect(await readdir(folder)).toEqual(['3.0', '3.1', '8.0'])
    await readFenced(folder, fence(8))
    expect(await readdir(folder)).toHaveLength(3)
  })

  it('is not changed by an earlier epoch any more', async () => {
    const folder = await scene()
    await publishFenced(folder, fence(3), 'one')
    await readFenced(folder, fence(8))
    await expect(publishFenced(folder, fence(3), 'late')).rejects.toMatchObject(stale)
    await expect(readFenced(folder, fence(3))).rejects.toMatchObject(stale)
    expect(await read(folder)).toBe('one')
  })

  it('is not changed by what was on its way, with or without a fence', async () => {
    const folder = await scene()
    await publishFenced(folder, fence(3), 'one')
    before('link', join(folder, '3.2'), () => publishFenced(folder, fence(8), 'new'))
    await expect(publishFenced(folder, fence(3), 'late')).rejects.toMatchObject(stale)
    await publishEntry(folder, 0, (_, path) => publishFile(path, 'without a fence'))
    expect(await readdir(folder)).toEqual(['0.0', '3.0', '3.1', '3.2', '8.0', '8.1'])
    expect(await read(folder)).toBe('new')
  })

  it('keeps what was published, and told so, while the new epoch began', async () => {
    const folder = await scene()
    await publishFenced(folder, fence(3), 'one')
    // After the new holder has looked, and before its first entry.
    before('link', join(folder, '8.0'), () => publishFenced(folder, fence(3), 'just in time'))
    expect(String(await readFenced(folder, fence(8)))).toBe('just in time')
    expect(await read(folder)).toBe('just in time')
  })

  it('stays empty where the epoch found nothing, whatever comes late', async () => {
    const folder = await scene()
    expect(await readFenced(folder, fence(8))).toBeUndefined()
    await writeFile(join(folder, '3.0'), 'late')
    expect(await read(folder)).toBeUndefined()
  })

  it('is left alone where the hold is over already', async () => {
    const folder = await scene()
    const over = { ...fence(3), check: async () => Promise.reject(new WorkspaceError('STALE_LOCK', 'over')) }
    await expect(publishFenced(folder, over, 'late')).rejects.toMatchObject(stale)
    expect(await read(folder)).toBeUndefined()
  })

  it('takes no empty value: that would say that there is none', async () => {
    await expect(publishFenced(await scene(), fence(3), '')).rejects.toMatchObject({ code: 'USAGE' })
  })
})
