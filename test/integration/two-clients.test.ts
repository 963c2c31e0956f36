/** Artifacts between two clients of a real file system: needs `./run filesystem ceph up`, else it is left out. */
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { execa } from 'execa'
import { describe, expect, it } from 'vitest'
import { readAcrossNodes } from '../../src/volume/across-nodes/record.ts'
import { ensureVolume, openVolume, type Volume } from '../../src/volume/volume.ts'
import { startWorker } from '../artifacts/processes.ts'
import { codeOf, identity, makeTree, newFolder, readTree, retrieve, store } from '../artifacts/support.ts'
import type { Answer } from '../artifacts/worker.ts'
import { clientsOf, sharedFolder } from './support/clients.ts'

const ROUNDS = 50
const clients = await clientsOf('ceph')

/** One volume, as the client on each of two nodes has it. */
async function twoViews(): Promise<[Volume, Volume]> {
  const [a, b] = await sharedFolder(clients!)
  await ensureVolume(a, () => {})
  return [await openVolume(a), await openVolume(b)]
}

describe.skipIf(!clients)('on CephFS', () => {
  it('the probe says that locks exclude across its clients', async () => {
    const views = await twoViews()
    const program = join(import.meta.dirname, '../../src/probe-locks/main.ts')
    const side = ({ layout }: Volume, n: number) =>
      execa('node', [program], {
        env: {
          PROBE_FOLDER: layout.root,
          PROBE_SESSION: 'session-1',
          PROBE_SIDE: String(n),
          PROBE_NODE: `node-${n}`,
          PROBE_PATIENCE: '120s',
        },
      })
    await Promise.all(views.map(side))
    const record = await readAcrossNodes(views[1])
    expect(record).toMatchObject({ exclusion: 'yes', reasons: [], races: 200, flock: 'excludes' })
  })

  it('what one client stores another retrieves, onto its own disk and onto the volume', async () => {
    const [here, there] = await twoViews()
    const source = await makeTree({
      'large.bin': randomBytes(9 * 1024 * 1024),
      'tool*': '#!/bin/sh\n',
      'dir/empty': null,
      'dir/link': { link: '../tool' },
      ...Object.fromEntries(Array.from({ length: 300 }, (_, n) => [`dir/${n}`, `file ${n}`])),
    })
    const { digest } = await store(here, source)
    for (const folder of [await newFolder(), there.layout.root]) {
      const target = join(folder, 'target')
      await retrieve(there, target, { artifacts: [`build/out@${digest}`] })
      expect(await readTree(target)).toEqual(await readTree(source))
    }
  })

  it('an output is found by a client that has just seen that it is not there', async () => {
    const [here, there] = await twoViews()
    const source = await makeTree({ file: 'x' })
    const targets = await newFolder()
    for (let round = 0; round < 10; round++) {
      const [output, artifacts] = [`out-${round}`, [`build/out-${round}`]]
      expect(await codeOf(retrieve(there, join(targets, 'none'), { artifacts }))).toBe('ARTIFACT_NOT_FOUND')
      await store(here, source, { output })
      await retrieve(there, join(targets, output), { artifacts })
    }
  })

  it('a replacement on one and a first retrieval on the other never both win, and never both lose', async () => {
    const [here, there] = await twoViews()
    const [old, replacement] = [await makeTree({ file: 'old' }), await makeTree({ file: 'new' })]
    const [storer, retriever] = [startWorker(), startWorker()]
    const targets = await newFolder()
    const won = { seal: 0, replacement: 0 }
    let storeMs = 200
    for (let round = 0; round < ROUNDS; round++) {
      const output = `out-${round}`
      const first = await store(here, old, { output })
      const begun = performance.now()
      const retry = identity({ pod: 'retry' })
      const storing = storer
        .tell({ root: here.layout.root, identity: retry, output, source: replacement })
        .finally(() => {
          storeMs = 0.8 * storeMs + 0.2 * (performance.now() - begun)
        })
      const retrieving = retriever.tell({
        root: there.layout.root,
        identity: identity({ task: 'use', pod: 'use' }),
        output,
        target: join(targets, output),
        // Where in the store the retrieval falls is different in each round.
        waitMs: Math.random() * 1.5 * storeMs,
      })
      const [stored, retrieved] = (await Promise.all([storing, retrieving])) as [Answer, Answer]
      const sealed = stored.error === 'ARTIFACT_EXISTS'
      won[sealed ? 'seal' : 'replacement']++
      expect(stored.digest === undefined).toBe(sealed)
      // What was retrieved is what stays: the old where it was sealed, else the replacement.
      expect(retrieved).toMatchObject({ digest: sealed ? first.digest : stored.digest })
    }
    // Otherwise nothing raced.
    expect(Math.min(won.seal, won.replacement)).toBeGreaterThan(0)
  })
})
