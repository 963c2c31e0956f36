/** The cache on another store than the volume, as a server of its own. */
import { readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { layoutOf } from '../../src/volume/layout.ts'
import { clientOf, startCoordinatorProcess } from '../coordinator/support.ts'
import { makeTree, newFolder, newVolume, readTree, restore, save } from './support.ts'

it('the cache works on the coordinator as on the volume', async () => {
  const { url, folder } = await startCoordinatorProcess()
  const store = clientOf(url)
  // Only the stores of the requests are used; the volume is not.
  const volume = await newVolume()
  const onServer = { store, layout: undefined }
  const source = await makeTree({ a: 'one', 'big.bin': Buffer.alloc(1_200_000, 'big'), empty: null })
  const target = async (): Promise<string> => join(await newFolder(), 'target')
  const older = await save(volume, await makeTree({ a: 'older' }), { ...onServer, key: 'k-1' })
  const saved = await save(volume, source, { ...onServer, key: 'k-2', maxBytes: 0 })
  expect(await save(volume, source, { ...onServer, key: 'k-2' })).toBeUndefined()

  const into = await target()
  expect(await restore(volume, into, { store, key: 'k-2' })).toMatchObject({ ...saved, exact: true })
  expect(await readTree(into)).toEqual(await readTree(source))
  const partial = { store, key: 'k-3', prefixes: ['k-'] }
  expect(await restore(volume, await target(), partial)).toMatchObject({ key: 'k-2', exact: false })
  expect(await restore(volume, await target(), { store, key: 'x' })).toBeUndefined()

  const layout = layoutOf(folder)
  expect(await readdir(layout.entries(['shared', 'cache', 'main', 'k-2', 'used']))).toHaveLength(1)
  await rm(layout.blob(saved!.digest))
  expect(await restore(volume, await target(), partial)).toMatchObject({ key: 'k-1', digest: older?.digest })
})
