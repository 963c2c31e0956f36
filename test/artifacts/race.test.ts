import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { startWorker } from './processes.ts'
import { identity, makeTree, newFolder, newVolume, RUN_ID, store } from './support.ts'
import type { Answer } from './worker.ts'

const ROUNDS = 200

it('a replacement by a retry and a first retrieval never both win, and never both lose', async () => {
  const volume = await newVolume()
  const root = volume.layout.root
  const [old, replacement] = [await makeTree({ file: 'old' }), await makeTree({ file: 'new' })]
  const [storer, retriever] = [startWorker(), startWorker()]
  const targets = await newFolder()
  const won = { seal: 0, replacement: 0 }
  let storeMs = 20
  for (let round = 0; round < ROUNDS; round++) {
    const output = `out-${round}`
    const first = await store(volume, old, { output })
    const begun = performance.now()
    const storing = storer
      .tell({ root, identity: identity({ pod: 'retry' }), output, source: replacement })
      .finally(() => {
        storeMs = 0.8 * storeMs + 0.2 * (performance.now() - begun)
      })
    // Where in the store the retrieval falls is different in each round.
    const waitMs = Math.random() * 1.5 * storeMs
    const user = identity({ task: 'use', pod: 'use' })
    const retrieving = retriever.tell({ root, identity: user, output, target: join(targets, output), waitMs })
    const [stored, retrieved] = (await Promise.all([storing, retrieving])) as [Answer, Answer]
    const sealed = stored.error === 'ARTIFACT_EXISTS'
    won[sealed ? 'seal' : 'replacement']++
    expect(stored.digest === undefined).toBe(sealed)
    // What was retrieved is what stays: the old where it was sealed, else the replacement.
    expect(retrieved).toMatchObject({ digest: sealed ? first.digest : stored.digest })
    const folder = volume.layout.artifact(RUN_ID, 'build', output)
    const entries = await readdir(folder)
    expect(entries).toEqual(sealed ? ['0.0', '0.1'] : ['0.0', '0.1', '0.2'])
    expect((await stat(join(folder, '0.1'))).isDirectory()).toBe(!sealed)
  }
  // Otherwise nothing raced.
  expect(won.seal).toBeGreaterThan(10)
  expect(won.replacement).toBeGreaterThan(10)
})
