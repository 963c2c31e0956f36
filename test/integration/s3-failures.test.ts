/** What servers refuse, and what becomes of it: another try, or an error that names the cause. */
import { randomBytes } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { toWorkspaceError } from '../../src/errors.ts'
import { describeError } from '../../src/events.ts'
import { digestOf } from '../../src/stores/digest.ts'
import type { ArtifactStore } from '../../src/stores/store.ts'
import { chunksOf, readAll } from '../stores/contract.ts'
import { firstTimes, type Seen } from './support/faulty-proxy.ts'
import { behindProxy, inChunks, newStore, OUTPUT, retriesOf } from './support/s3-store.ts'
import { startS3, type S3Server } from './support/s3.ts'

const MIB = 1024 * 1024

let server: S3Server
beforeAll(async () => {
  server = await startS3()
})
afterAll(() => server.stop())

const isPut = ({ method }: Seen): boolean => method === 'PUT'

describe('a busy server', () => {
  it('is asked again, whatever was asked', async () => {
    const { store, proxy, events } = await behindProxy(server)
    const met = new Set<string>()
    proxy.plan = ({ method, url }) => {
      const kind = `${method} ${url.replace(/[?&](uploadId|partNumber|versionId)=[^&]*/g, '?$1')}`
      if (met.has(kind)) return undefined
      met.add(kind)
      return { refuse: { status: 503, code: 'SlowDown', message: 'Please reduce your request rate.' } }
    }
    const small = randomBytes(1000)
    const large = randomBytes(40 * MIB)
    await store.blobs.put(chunksOf(small))
    await store.blobs.put(inChunks(large))
    expect(await store.publish(OUTPUT, '0.0', 'artifact', '{}')).toBe(true)
    expect(await store.entries(OUTPUT)).toHaveLength(1)
    expect((await store.read(OUTPUT, '0.0')).toString()).toBe('{}')
    expect(await store.names(['artifacts'])).toEqual(['run-1'])
    expect((await readAll(store.blobs, digestOf(small))).equals(small)).toBe(true)
    expect((await readAll(store.blobs, digestOf(large))).equals(large)).toBe(true)
    expect(met.size).toBeGreaterThan(12)
    expect(retriesOf(events)).toContain('HTTP 503 SlowDown: Please reduce your request rate.')
  })

  it.each([
    { status: 500, code: 'InternalError', message: 'We encountered an internal error.' },
    { status: 502 },
    { status: 503, code: 'SlowDown', message: 'Please reduce your request rate.' },
  ])('that never gets better is named: $status $code', async (refuse) => {
    const { store, proxy, keys } = await behindProxy(server, { patienceMs: 500 })
    proxy.plan = () => ({ refuse })
    const failed = {
      code: 'STORE_UNAVAILABLE',
      message: expect.stringContaining(`HTTP ${refuse.status}`) as string,
    }
    await expect(store.blobs.put(chunksOf('content'))).rejects.toMatchObject(failed)
    await expect(readAll(store.blobs, digestOf('content'))).rejects.toMatchObject(failed)
    await expect(store.entries(OUTPUT)).rejects.toMatchObject(failed)
    await expect(store.publish(OUTPUT, '0.0', 'artifact', '{}')).rejects.toMatchObject(failed)
    expect(await keys()).toEqual([])
  })

  it('is given the time that it asks for', async () => {
    const { store, proxy, events } = await behindProxy(server)
    proxy.plan = firstTimes(1, isPut, { refuse: { status: 503, headers: { 'retry-after': '1' } } })
    await store.blobs.put(chunksOf('content'))
    expect(events).toMatchObject([{ event: 'store-retry' }])
    expect((events[0] as { waitMs: number }).waitMs).toBeGreaterThanOrEqual(750)
  })

  it('that nobody listens for is named', async () => {
    const { store, proxy } = await behindProxy(server, { patienceMs: 300 })
    await proxy.stop()
    await expect(store.blobs.put(chunksOf('content'))).rejects.toMatchObject({
      code: 'STORE_UNAVAILABLE',
      message: expect.stringContaining('ECONNREFUSED') as string,
    })
  })

  it('whose name does not resolve is named at once', async () => {
    const { store, events } = await newStore(server, { endpoint: 'http://nowhere.invalid' })
    await expect(store.entries(OUTPUT)).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' })
    // Without a resolver the answer may be EAI_AGAIN, which is worth another try.
    expect(retriesOf(events).every((why) => why.includes('EAI_AGAIN'))).toBe(true)
  })
})

describe('refusals', () => {
  const calls = {
    put: (store: ArtifactStore) => store.blobs.put(chunksOf('content')),
    size: (store) => store.blobs.size(digestOf('content')),
    get: (store) => readAll(store.blobs, digestOf('content')),
    list: (store) => store.entries(OUTPUT),
    publish: (store) => store.publish(OUTPUT, '0.0', 'artifact', '{}'),
  } satisfies Record<string, (store: ArtifactStore) => Promise<unknown>>

  it.each([
    { status: 400, code: 'ExpiredToken', message: 'The provided token has expired.' },
    { status: 403, code: 'ExpiredToken', message: 'The provided token has expired.' },
    { status: 403, code: 'AccessDenied', message: 'Access Denied' },
    { status: 403, code: 'InvalidAccessKeyId', message: 'The key does not exist in our records.' },
  ])('of credentials name the cause: $status $code', async (refuse) => {
    const secretAccessKey = 'a-secret-that-nobody-sees'
    const sessionToken = 'a-token-that-nobody-sees'
    const credentials = { accessKeyId: 'an-id', secretAccessKey, sessionToken }
    const { store, proxy, events } = await behindProxy(server, { credentials })
    proxy.plan = () => ({ refuse })
    for (const call of Object.values(calls)) {
      const error = await call(store).then(
        () => undefined,
        (reason: unknown) => toWorkspaceError(reason),
      )
      expect(error).toMatchObject({
        code: 'STORE_DENIED',
        found: `HTTP ${refuse.status} ${refuse.code}: ${refuse.message}`,
        hint: expect.stringContaining('shared-workspace-s3') as string,
      })
      const all = [describeError(error!), error!.stack, error!.cause, JSON.stringify(error)].join()
      expect(all).not.toMatch(/nobody-sees|an-id/)
    }
    expect(events).toEqual([])
  })

  it('of a wrong secret and an unknown key are told from other failures', async () => {
    for (const credentials of [
      { accessKeyId: server.accessKey, secretAccessKey: 'wrong' },
      { accessKeyId: 'unknown', secretAccessKey: server.secretKey },
    ]) {
      const { store } = await newStore(server, { credentials })
      for (const name of ['list', 'put', 'publish'] as const)
        await expect(calls[name](store)).rejects.toMatchObject({ code: 'STORE_DENIED' })
    }
  })

  it('of a bucket that is not there, and of another region, say so', async () => {
    const { store } = await newStore(server, { bucket: 'nowhere' })
    for (const name of ['list', 'put', 'get', 'publish'] as const)
      await expect(calls[name](store)).rejects.toMatchObject({
        code: 'STORE_UNAVAILABLE',
        found: expect.stringContaining('NoSuchBucket') as string,
        hint: expect.stringContaining('BUCKET') as string,
      })
    const { store: elsewhere } = await newStore(server, { region: 'eu-central-1' })
    await expect(calls.list(elsewhere)).rejects.toMatchObject({
      code: 'STORE_UNAVAILABLE',
      hint: expect.stringContaining('REGION') as string,
    })
  })

  it('of what is no S3 server are not taken for answers', async () => {
    const { store, proxy } = await behindProxy(server, { patienceMs: 300 })
    proxy.plan = () => ({ refuse: { status: 404, headers: { 'content-type': 'text/html' } } })
    await expect(calls.list(store)).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' })
    await expect(calls.put(store)).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' })
  })

  it('for want of room say so', async () => {
    const { store, proxy } = await behindProxy(server)
    proxy.plan = (request) =>
      isPut(request) ? { refuse: { status: 403, code: 'QuotaExceeded', message: 'Full' } } : undefined
    await expect(calls.put(store)).rejects.toMatchObject({ code: 'NO_SPACE' })
  })
})

describe('a blob that is damaged in the bucket', () => {
  it('is not built upon', async () => {
    const { store, options } = await newStore(server)
    const { digest } = await store.blobs.put(chunksOf('content'))
    const file = join(server.folderOf(options.bucket), 'store/blobs/sha256', digest.slice(7))
    await writeFile(file, 'short')
    await expect(store.blobs.put(chunksOf('content'))).rejects.toMatchObject({ code: 'DIGEST_MISMATCH' })
  })
})
