/** What fences promise in every store of artifacts: a hold that is over changes nothing that readers see. */
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import type { ArtifactStore } from '../../src/stores/store.ts'
import type { Fence } from '../../src/volume/fence.ts'
import { identity, makeTree, newFolder, readTree, retrieveFrom, storeIn } from '../artifacts/support.ts'

const fence = (epoch: number): Fence => ({ name: `deploy@${epoch}`, epoch, check: async () => {} })

const storeText = async (store: ArtifactStore, text: string, epoch: number, attempt = 0) =>
  storeIn(store, await makeTree({ file: text }), {
    fence: fence(epoch),
    identity: identity({ pod: `attempt-${attempt}` }),
  })

/** What a reader gets. */
async function seen(store: ArtifactStore): Promise<unknown> {
  const target = join(await newFolder(), 'target')
  await retrieveFrom(store, target)
  return readTree(target)
}

export function fencedContract(name: string, makeStore: () => Promise<ArtifactStore>): void {
  describe(`${name} keeps fences`, () => {
    const expected = async () => readTree(await makeTree({ file: 'new' }))

    it('lets a later epoch replace, and an earlier one change nothing after that', async () => {
      const store = await makeStore()
      await storeText(store, 'one', 3)
      await storeText(store, 'new', 8, 1)
      await expect(storeText(store, 'late', 3, 2)).rejects.toMatchObject({ code: 'STALE_LOCK' })
      expect(await seen(store)).toEqual(await expected())
    })

    it('hides what an earlier epoch had on its way', async () => {
      const store = await makeStore()
      await storeText(store, 'one', 3)
      let asked = 0
      const paused: ArtifactStore = {
        ...store,
        publish: async (path, entry, kind, document) => {
          if (entry === '3.2' && asked++ === 0) await storeText(store, 'new', 8, 1)
          return store.publish(path, entry, kind, document)
        },
      }
      await expect(storeText(paused, 'late', 3, 2)).rejects.toMatchObject({ code: 'STALE_LOCK' })
      expect(asked).toBe(1)
      expect(await seen(store)).toEqual(await expected())
    })
  })
}
