import { mkdir, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { requireSameFolder, requireVolume } from '../../src/volume/same-file-system.ts'
import { ensureVolume } from '../../src/volume/volume.ts'
import { temporaryFolder } from '../support/folder.ts'

const SEEN = /is device \d+, inode \d+, on a mount of type \S+ from \S+/

it('takes the volume that is expected, and any where none is', async () => {
  const root = await temporaryFolder()
  const { id } = await ensureVolume(root, () => {})
  expect((await requireVolume(root, id)).id).toBe(id)
  expect((await requireVolume(root, undefined)).id).toBe(id)
})

it('refuses an empty folder in the place of a mount, and says what is there', async () => {
  const root = await temporaryFolder()
  await expect(requireVolume(root, undefined)).rejects.toMatchObject({
    code: 'STORAGE_NOT_MOUNTED',
    found: expect.stringMatching(SEEN),
    hint: expect.stringContaining('tool-install'),
  })
  await expect(requireVolume(join(root, 'missing'), undefined)).rejects.toMatchObject({
    code: 'STORAGE_NOT_MOUNTED',
    found: expect.stringContaining('is not there'),
  })
})

it('refuses another volume', async () => {
  const root = await temporaryFolder()
  const { id } = await ensureVolume(root, () => {})
  await expect(requireVolume(root, 'another')).rejects.toMatchObject({
    code: 'STORAGE_NOT_MOUNTED',
    expected: 'the volume another',
    found: expect.stringContaining(`the volume ${id}; ${root} is device`),
  })
})

it('tells one folder by two paths from two folders', async () => {
  const root = await temporaryFolder()
  for (const name of ['a', 'b']) await mkdir(join(root, name))
  await symlink('a', join(root, 'again'))
  await requireSameFolder(join(root, 'a'), join(root, 'again'))
  for (const other of ['b', 'missing'])
    await expect(requireSameFolder(join(root, 'a'), join(root, other))).rejects.toMatchObject({
      code: 'STORAGE_NOT_MOUNTED',
    })
})
