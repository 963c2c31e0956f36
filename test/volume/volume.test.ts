import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { ensureVolume, openVolume } from '../../src/volume/volume.ts'
import { temporaryFolder } from '../support/folder.ts'

const quiet = (): void => undefined

describe('the marker', () => {
  it('is made once, however many come at the same time', async () => {
    const root = await temporaryFolder()
    const volumes = await Promise.all(Array.from({ length: 10 }, () => ensureVolume(root, quiet)))
    expect(new Set(volumes.map((volume) => volume.id)).size).toBe(1)
    expect((await openVolume(root)).id).toBe(volumes[0]!.id)
  })

  it('is asked for where only an initialised volume will do', async () => {
    const root = await temporaryFolder()
    await expect(openVolume(root)).rejects.toMatchObject({
      code: 'STORAGE_NOT_MOUNTED',
      found: 'a folder without it',
    })
    await expect(openVolume(join(root, 'nowhere'))).rejects.toMatchObject({ found: 'no folder' })
    await expect(ensureVolume(join(root, 'nowhere'), quiet)).rejects.toMatchObject({
      code: 'STORAGE_NOT_MOUNTED',
    })
  })

  it('of a newer format or damaged stops every use', async () => {
    const root = await temporaryFolder()
    await mkdir(join(root, '.shared-workspace'))
    const marker = join(root, '.shared-workspace/format.json')
    const newer = { format: 2, minReader: 2, minWriter: 2, volumeId: 'v', createdAt: '' }
    for (const text of [JSON.stringify(newer), '{"format": 1', '']) {
      await writeFile(marker, text)
      await expect(ensureVolume(root, quiet)).rejects.toMatchObject({ code: 'FORMAT_UNSUPPORTED' })
    }
    await writeFile(marker, JSON.stringify({ ...newer, minReader: 1, minWriter: 1 }))
    expect((await openVolume(root)).id).toBe('v')
  })
})
