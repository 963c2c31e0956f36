/** The cache in a bucket, as tasks without a volume have it. */
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { restore as restoreFrom, save as saveTo, makeTree, newFolder, readTree } from '../cache/support.ts'
import { newVolume } from '../artifacts/support.ts'
import { startS3, type S3Server } from './support/s3.ts'
import { newStore } from './support/s3-store.ts'

let server: S3Server
beforeAll(async () => {
  server = await startS3()
})
afterAll(() => server.stop())

/** A bucket that tasks on two machines use. */
async function scene() {
  const one = await newStore(server)
  const other = await newStore(server, { bucket: one.options.bucket })
  const volume = await newVolume()
  const save = (source: string, more = {}) =>
    saveTo(volume, source, { store: one.store, layout: undefined, ...more })
  const restore = (target: string, more = {}) => restoreFrom(volume, target, { store: other.store, ...more })
  return { save, restore, keys: one.keys }
}

test('what one task saves, another restores, whole or not at all', async () => {
  const { save, restore, keys } = await scene()
  const source = await makeTree({
    'a/x': 'one',
    'bin*': 'run',
    'big.bin': Buffer.alloc(1_200_000, 'big'),
    empty: null,
  })
  const target = join(await newFolder(), 'target')
  expect(await restore(target)).toBeUndefined()
  expect(await save(source)).toBeDefined()
  expect(await restore(target)).toMatchObject({ key: 'key' })
  expect(await readTree(target)).toEqual(await readTree(source))
  const before = await keys()
  expect(await save(source)).toBeUndefined()
  expect(await keys()).toEqual(before)
})

test('a prefix finds the newest key that begins so, in the own scope and then in the others', async () => {
  const { save, restore } = await scene()
  const source = await makeTree({
    'a/x': 'one',
    'bin*': 'run',
    'big.bin': Buffer.alloc(1_200_000, 'big'),
    empty: null,
  })
  await save(source, { key: 'npm-1', scope: 'main' })
  const found = await restore(join(await newFolder(), 'a'), {
    key: 'npm-2',
    prefixes: ['npm-'],
    scopes: { own: 'branch', fallbacks: ['main'] },
  })
  expect(found).toMatchObject({ key: 'npm-1', scope: 'main' })
  const nothing = join(await newFolder(), 'b')
  expect(await restore(nothing, { key: 'npm-2', prefixes: ['yarn-'] })).toBeUndefined()
  await expect(readdir(nothing)).rejects.toThrow('ENOENT')
})
