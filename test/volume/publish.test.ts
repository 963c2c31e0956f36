import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { injectFault } from '../../src/platform/fs.ts'
import { listEntries, publishEntry, publishFile, publishFolder } from '../../src/volume/publish.ts'
import { temporaryFolder } from '../support/folder.ts'

afterEach(() => injectFault(undefined))

describe('publishFile', () => {
  it('lets exactly one of many writers have a name, and leaves no temporary name', async () => {
    const folder = await temporaryFolder()
    for (let round = 0; round < 20; round++) {
      const target = join(folder, `name-${round}`)
      const won = await Promise.all(Array.from({ length: 8 }, (_, i) => publishFile(target, `writer ${i}`)))
      expect(won.filter(Boolean)).toHaveLength(1)
      expect(await readFile(target, 'utf8')).toBe(`writer ${won.indexOf(true)}`)
    }
    expect((await readdir(folder)).filter((name) => name.startsWith('.'))).toEqual([])
  })

  it('takes the answer of a link whose success was lost on the way for what it is', async () => {
    const folder = await temporaryFolder()
    const { link } = await import('node:fs/promises')
    injectFault(async (operation, path) => {
      if (operation !== 'link') return
      const temporary = (await readdir(folder)).find((name) => name.startsWith('.tmp-'))!
      await link(join(folder, temporary), path)
    })
    expect(await publishFile(join(folder, 'name'), 'x')).toBe(true)
  })

  it.each(['open', 'write', 'sync', 'link'] as const)(
    'shows nothing when %s fails, and cleans up',
    async (failing) => {
      const folder = await temporaryFolder()
      injectFault((operation) => {
        if (operation === failing) throw Object.assign(new Error('disk full'), { code: 'ENOSPC' })
      })
      await expect(publishFile(join(folder, 'name'), 'x')).rejects.toThrow('disk full')
      expect(await readdir(folder)).toEqual([])
    },
  )

  it('makes files that the group can write, whatever the umask', async () => {
    const folder = await temporaryFolder()
    const before = process.umask(0o077)
    try {
      await publishFile(join(folder, 'file'), 'x')
      await publishFolder(join(folder, 'folder'), (path) => writeFile(join(path, 'content'), 'x'))
    } finally {
      process.umask(before)
    }
    expect((await stat(join(folder, 'file'))).mode & 0o777).toBe(0o664)
    expect((await stat(join(folder, 'folder'))).mode & 0o7777).toBe(0o2775)
  })
})

describe('publishFolder', () => {
  it('lets exactly one of many writers have a name', async () => {
    const folder = await temporaryFolder()
    const target = join(folder, 'name')
    const won = await Promise.all(
      Array.from({ length: 8 }, (_, i) =>
        publishFolder(target, (path) => writeFile(join(path, `by-${i}`), '')),
      ),
    )
    expect(won.filter(Boolean)).toHaveLength(1)
    expect(await readdir(target)).toEqual([`by-${won.indexOf(true)}`])
    expect(await readdir(folder)).toEqual(['name'])
  })

  it('takes neither a file nor a folder that is there', async () => {
    const folder = await temporaryFolder()
    await writeFile(join(folder, 'file'), 'kept')
    await mkdir(join(folder, 'folder/inside'), { recursive: true })
    const fill = (path: string): Promise<void> => writeFile(join(path, 'content'), 'x')
    expect(await publishFolder(join(folder, 'file'), fill)).toBe(false)
    expect(await publishFolder(join(folder, 'folder'), fill)).toBe(false)
    expect(await readFile(join(folder, 'file'), 'utf8')).toBe('kept')
    expect(await readdir(join(folder, 'folder'))).toEqual(['inside'])
  })

  it('shows nothing when the filling fails', async () => {
    const folder = await temporaryFolder()
    const failing = publishFolder(join(folder, 'name'), () => Promise.reject(new Error('no')))
    await expect(failing).rejects.toThrow('no')
    expect(await readdir(folder)).toEqual([])
  })
})

describe('publishEntry', () => {
  it('gives every writer a number of its own, without gaps', async () => {
    const folder = join(await temporaryFolder(), 'pointer')
    const write = (i: number) => publishEntry(folder, 3, (_, path) => publishFile(path, String(i)))
    const names = await Promise.all(Array.from({ length: 30 }, (_, i) => write(i)))
    expect(new Set(names).size).toBe(30)
    expect((await listEntries(folder)).map((entry) => entry.name)).toEqual(
      Array.from({ length: 30 }, (_, n) => `3.${n}`),
    )
  })

  it('orders by epoch before number, as numbers', async () => {
    const folder = join(await temporaryFolder(), 'pointer')
    for (const epoch of [10, 9, 10, 2]) await publishEntry(folder, epoch, (_, path) => publishFile(path, ''))
    expect((await listEntries(folder)).map((entry) => entry.name)).toEqual(['2.0', '9.0', '10.0', '10.1'])
  })

  it('leaves the folder as it is when told so', async () => {
    const folder = join(await temporaryFolder(), 'pointer')
    expect(await publishEntry(folder, 0, () => Promise.resolve(undefined))).toBeUndefined()
    expect(await readdir(folder)).toEqual([])
  })
})
