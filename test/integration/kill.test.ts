import { existsSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import pLimit from 'p-limit'
import { describe, expect, it } from 'vitest'
import { listEntries } from '../../src/volume/publish.ts'
import { startWorker } from '../artifacts/processes.ts'
import {
  identity,
  makeTree,
  newFolder,
  newVolume,
  outputFolder,
  readTree,
  retrieve,
  store,
  type Tree,
} from '../artifacts/support.ts'
import type { Answer } from '../artifacts/worker.ts'

const TREE: Tree = {
  ...Object.fromEntries(Array.from({ length: 12 }, (_, n) => [`dir-${n % 3}/file-${n}`, `content ${n}`])),
  'big.bin': Buffer.alloc(2_500_000, 'big'),
  empty: null,
  link: { link: 'dir-1' },
}
/** Processes at a time. */
const AT_ONCE = 4

/** Does `what` for each point: before the first file operation of a call, the second, and so on. */
function atEachOf(operations: number, what: (dieAt: number) => Promise<void>): Promise<unknown> {
  console.log(`killed before each of ${operations} operations`)
  const points = Array.from({ length: operations }, (_, n) => n + 1)
  return pLimit(AT_ONCE).map(points, what)
}

describe('a process killed before any of its file operations', () => {
  it('of storing leaves no artifact or a whole one, and the next call stores it', async () => {
    const source = await makeTree(TREE)
    const order = { identity: identity(), output: 'out', source }
    const { operations } = (await startWorker().tell({
      ...order,
      root: (await newVolume()).layout.root,
    })) as Answer
    let unpublished = 0
    await atEachOf(operations, async (dieAt) => {
      const volume = await newVolume()
      expect(await startWorker().tell({ ...order, root: volume.layout.root, dieAt })).toBe('killed')
      if ((await listEntries(outputFolder(volume))).length === 0) unpublished++
      else await retrieve(volume, join(await newFolder(), 'target'))
      await store(volume, source, { identity: identity({ pod: 'retry' }) })
      const target = join(await newFolder(), 'target')
      await retrieve(volume, target)
      expect(await readTree(target)).toEqual(await readTree(source))
    })
    expect(unpublished).toBeGreaterThan(operations / 2)
  })

  it('of retrieving into an existing folder leaves whole files, and the next call completes it', async () => {
    const volume = await newVolume()
    const source = await makeTree(TREE)
    await store(volume, source)
    const existing: Tree = { mine: 'm', 'dir-1/file-1': 'content 1' }
    const expected = { ...(await readTree(source)), ...(await readTree(await makeTree(existing))) }
    const order = { root: volume.layout.root, identity: identity({ task: 'use' }), output: 'out' }
    // The first retrieval makes the seal; the calls below are like the second.
    await retrieve(volume, join(await newFolder(), 'target'))
    const first = await startWorker().tell({ ...order, target: await makeTree(existing) })
    let journals = 0
    await atEachOf((first as Answer).operations, async (dieAt) => {
      const target = await makeTree(existing)
      expect(await startWorker().tell({ ...order, target, dieAt })).toBe('killed')
      for (const [path, found] of Object.entries(await visible(target))) {
        // A folder gets its own mode last.
        expect(found.replace(/^dir .*/, 'dir')).toBe(expected[path]?.replace(/^dir .*/, 'dir'))
      }
      if (await hasJournal(target)) journals++
      await retrieve(volume, target)
      expect(await visible(target)).toEqual(expected)
      expect(await hasJournal(target)).toBe(false)
    })
    // At least one was killed with the journal written and the moves not all done.
    expect(journals).toBeGreaterThan(0)
  })

  it('of retrieving into a new folder leaves nothing or everything', async () => {
    const volume = await newVolume()
    const source = await makeTree(TREE)
    await store(volume, source)
    await retrieve(volume, join(await newFolder(), 'target'))
    const order = { root: volume.layout.root, identity: identity({ task: 'use' }), output: 'out' }
    const { operations } = (await startWorker().tell({
      ...order,
      target: join(await newFolder(), 't'),
    })) as Answer
    await atEachOf(operations, async (dieAt) => {
      const target = join(await newFolder(), 't')
      expect(await startWorker().tell({ ...order, target, dieAt })).toBe('killed')
      const there = existsSync(target) ? await readTree(target) : 'nothing'
      expect(['nothing', await readTree(source)]).toContainEqual(there)
      await retrieve(volume, target)
      expect(await readTree(target)).toEqual(await readTree(source))
    })
  })
})

/** What users see: everything but what is staged. */
async function visible(target: string): Promise<Record<string, string>> {
  const tree = Object.entries(await readTree(target))
  return Object.fromEntries(tree.filter(([path]) => !path.startsWith('.tmp-')))
}

async function hasJournal(target: string): Promise<boolean> {
  return (await readdir(target)).some((name) => existsSync(join(target, name, 'journal.json')))
}
