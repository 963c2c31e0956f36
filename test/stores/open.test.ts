/** Several strategies: which one is used, what is told, and what is no reason to try another. */
import { mkdir, rm } from 'node:fs/promises'
import { describe, expect, it } from 'vitest'
import { retrieveArtifacts, storeArtifact } from '../../src/artifacts/index.ts'
import { readConfiguration } from '../../src/configuration.ts'
import { WorkspaceError, type ErrorCode } from '../../src/errors.ts'
import { opened, storesOf, type StoreOpener } from '../../src/stores/open.ts'
import { volumeArtifacts } from '../../src/stores/volume-artifacts.ts'
import {
  codeOf,
  collect,
  identity,
  makeTree,
  newFolder,
  newVolume,
  contentsOf,
} from '../artifacts/support.ts'

const never = new AbortController().signal

const failing = (code: ErrorCode): StoreOpener => ({
  strategy: 's3',
  open: () => Promise.reject(new WorkspaceError(code, 'as the test wants it')),
})

async function storeOn(stores: StoreOpener[], tree = { file: 'content' }) {
  const { emit, events } = collect()
  const source = await makeTree(tree)
  const request = { stores, identity: identity(), source, output: 'out', overwrite: false, signal: never }
  return { result: storeArtifact({ ...request, emit }), events }
}

async function retrieveFrom(stores: StoreOpener[], artifact = 'build/out') {
  const { emit, events } = collect()
  const target = `${await newFolder()}/target`
  const wanted = { artifacts: [artifact], run: '', files: [], strip: 0, conflicts: 'fail' as const }
  const request = { ...wanted, stores, identity: identity(), optional: false, target, signal: never }
  return { result: retrieveArtifacts({ ...request, emit }), events, target }
}

describe('a store that cannot be used', () => {
  it.each([
    'STORAGE_NOT_MOUNTED',
    'NOT_WRITABLE',
    'NO_SPACE',
    'STORAGE_IO',
    'STORE_UNAVAILABLE',
    'STORE_DENIED',
  ] as const)('(%s) is followed by the next, and the log says so', async (code) => {
    const volume = volumeArtifacts(await newVolume())
    const { result, events } = await storeOn([failing(code), opened(volume)])
    expect(await result).toMatchObject({
      strategy: 'pvc',
      uri: expect.stringContaining(volume.place),
    })
    expect(events).toMatchObject([
      { event: 'artifact-fallback', from: 's3', to: 'pvc', why: `${code}: as the test wants it` },
      { event: 'artifact-stored' },
    ])
  })

  it('is the end where it is the last', async () => {
    const { result, events } = await storeOn([failing('STORAGE_IO'), failing('STORE_DENIED')])
    expect(await codeOf(result)).toBe('STORE_DENIED')
    expect(events).toMatchObject([{ event: 'artifact-fallback' }])
  })

  it('is no cover for what is wrong with the request', async () => {
    const volume = volumeArtifacts(await newVolume())
    const other = volumeArtifacts(await newVolume())
    await (
      await storeOn([opened(volume)])
    ).result
    const again = await storeOn([opened(volume), opened(other)], { file: 'other' })
    expect(await codeOf(again.result)).toBe('ARTIFACT_EXISTS')
    expect(again.events).toEqual([])
  })
})

describe('a retrieval from several stores', () => {
  it('takes what one has that another lacks, and warns of one that does not answer', async () => {
    const [one, two] = [volumeArtifacts(await newVolume()), volumeArtifacts(await newVolume())]
    await (
      await storeOn([opened(two)])
    ).result
    const stores = [failing('STORE_UNAVAILABLE'), opened(one), opened(two)]
    const { result, events, target } = await retrieveFrom(stores)
    expect((await result).artifacts[0]!.uri).toContain(two.place)
    expect(await contentsOf(target)).toEqual(['file'])
    expect(events[0]).toMatchObject({ event: 'warning', about: 'the strategy s3 was left out' })
  })

  it('takes the one that was stored last, as a retry may have fallen back', async () => {
    const [one, two] = [volumeArtifacts(await newVolume()), volumeArtifacts(await newVolume())]
    await (
      await storeOn([opened(one)], { file: 'old' })
    ).result
    await new Promise((resolve) => setTimeout(resolve, 20))
    await (
      await storeOn([opened(two)], { file: 'new' })
    ).result
    for (const stores of [
      [opened(one), opened(two)],
      [opened(two), opened(one)],
    ]) {
      const { result } = await retrieveFrom(stores)
      expect((await result).artifacts[0]!.uri).toContain(two.place)
    }
  })

  it('takes a pinned one from wherever it is', async () => {
    const [one, two] = [volumeArtifacts(await newVolume()), volumeArtifacts(await newVolume())]
    const { digest } = await (await storeOn([opened(one)], { file: 'old' })).result
    await (
      await storeOn([opened(two)], { file: 'new' })
    ).result
    const { result } = await retrieveFrom([opened(two), opened(one)], `build/out@${digest}`)
    expect((await result).artifacts).toMatchObject([{ digest, strategy: 'pvc' }])
    const none = await retrieveFrom([opened(two)], `build/out@${digest}`)
    expect(await codeOf(none.result)).toBe('DIGEST_MISMATCH')
  })

  it('fails where none answers', async () => {
    const { result } = await retrieveFrom([failing('STORAGE_IO'), failing('STORE_UNAVAILABLE')])
    expect(await codeOf(result)).toBe('STORE_UNAVAILABLE')
  })
})

describe('what is not configured', () => {
  const configuration = readConfiguration({}, () => {})
  const open = (strategy: 'pvc' | 's3' | 'coordinator', volumePath?: string) =>
    storesOf({
      strategies: [strategy],
      configuration,
      volumePath,
      initialise: true,
      emit: () => {},
      signal: never,
    })[0]!.open()

  it('is named', async () => {
    await expect(open('pvc')).rejects.toMatchObject({ code: 'STORAGE_NOT_MOUNTED' })
    await expect(open('s3')).rejects.toMatchObject({
      code: 'USAGE',
      expected: expect.stringContaining('SHARED_WORKSPACE_ARTIFACT_S3_BUCKET'),
    })
    await expect(open('coordinator')).rejects.toMatchObject({
      code: 'USAGE',
      expected: expect.stringContaining('Secret shared-workspace-coordinator'),
    })
  })

  it('opens a volume once, however often it is asked for', async () => {
    const root = await newFolder()
    const [opener] = storesOf({
      strategies: ['pvc'],
      configuration,
      volumePath: root,
      initialise: true,
      emit: () => {},
      signal: never,
    })
    const [first, second] = [await opener!.open(), await opener!.open()]
    expect(first).toBe(second)
    await rm(root, { recursive: true })
    await mkdir(root)
    expect(await opener!.open()).toBe(first)
  })
})
