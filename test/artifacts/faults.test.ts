/** Every file operation of a store and of a retrieval fails once, in each way that storage fails. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, expect, it } from 'vitest'
import { toWorkspaceError, type ErrorCode } from '../../src/errors.ts'
import { injectFault } from '../../src/platform/fs.ts'
import { listEntries } from '../../src/volume/publish.ts'
import {
  identity,
  makeTree,
  newFolder,
  newVolume,
  outputFolder,
  readTree,
  retrieve,
  store,
  temporaries,
  type Tree,
} from './support.ts'

afterEach(() => injectFault(undefined))

const TREE: Tree = {
  ...Object.fromEntries(Array.from({ length: 6 }, (_, n) => [`dir-${n % 2}/file-${n}`, `content ${n}`])),
  'big.bin': Buffer.alloc(2_500_000, 'big'),
  empty: null,
  link: { link: 'dir-1' },
}

const FAULTS: [errno: string, code: ErrorCode][] = [
  ['ENOSPC', 'NO_SPACE'],
  ['EDQUOT', 'NO_SPACE'],
  ['EIO', 'STORAGE_IO'],
  ['EROFS', 'NOT_WRITABLE'],
]

/** Counts the operations of `work`; the nth throws. */
async function failAt(n: number, errno: string, work: () => Promise<unknown>) {
  let operations = 0
  let struck = ''
  injectFault((operation, path) => {
    if (++operations !== n) return
    struck = `${operation} ${path}`
    throw Object.assign(new Error(`${errno}: ${struck}`), { code: errno })
  })
  const error = await work().then(
    () => undefined,
    (thrown: unknown) => toWorkspaceError(thrown),
  )
  injectFault(undefined)
  return { operations, struck, error }
}

async function operationsOf(work: () => Promise<unknown>): Promise<number> {
  return (await failAt(0, '', work)).operations
}

/** Another kind of failure at each operation in turn. */
const faultAt = (n: number): (typeof FAULTS)[number] => FAULTS[n % FAULTS.length]!

it('at any point of storing is named, leaves no artifact or a whole one, and the next call stores it', async () => {
  const source = await makeTree(TREE)
  const expected = await readTree(source)
  const fresh = await newVolume()
  const operations = await operationsOf(() => store(fresh, source))
  let failed = 0
  for (let n = 1; n <= operations; n++) {
    const volume = await newVolume()
    const [errno, code] = faultAt(n)
    const { error, struck } = await failAt(n, errno, () => store(volume, source))
    if (error) failed++
    if (error) expect(error.code, struck).toBe(code)
    if ((await listEntries(outputFolder(volume))).length > 0)
      await retrieve(volume, join(await newFolder(), 'target'))
    await store(volume, source, { identity: identity({ pod: 'retry' }) })
    const target = join(await newFolder(), 'target')
    await retrieve(volume, target)
    expect(await readTree(target), struck).toEqual(expected)
  }
  expect(failed).toBeGreaterThan(operations / 2)
})

it('at any point of retrieving is named, and leaves the target as it was or whole', async () => {
  const volume = await newVolume()
  const source = await makeTree(TREE)
  const expected = await readTree(source)
  await store(volume, source)
  await retrieve(volume, join(await newFolder(), 'target'))
  const newTarget = async (): Promise<string> => join(await newFolder(), 'target')
  const first = await newTarget()
  const operations = await operationsOf(() => retrieve(volume, first))
  let failed = 0
  for (let n = 1; n <= operations; n++) {
    const target = await newTarget()
    const [errno, code] = faultAt(n)
    const { error, struck } = await failAt(n, errno, () => retrieve(volume, target))
    if (error) failed++
    if (error) expect(error.code, struck).toBe(code)
    if (!error || existsSync(target)) expect(await readTree(target), struck).toEqual(expected)
    if (!struck.startsWith('rm ')) expect(await temporaries(join(target, '..')), struck).toEqual([])
    await retrieve(volume, target)
    expect(await readTree(target), struck).toEqual(expected)
  }
  expect(failed).toBeGreaterThan(operations / 2)
})
