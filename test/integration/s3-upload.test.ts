/** What happens to content on its way into a bucket, by a real server behind a proxy that is none too good. */
import { randomBytes } from 'node:crypto'
import { ListMultipartUploadsCommand, S3Client } from '@aws-sdk/client-s3'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { digestOf } from '../../src/stores/digest.ts'
import type { S3Options } from '../../src/stores/s3/s3-artifacts.ts'
import { chunksOf, readAll } from '../stores/contract.ts'
import { firstTimes, type Fault, type Seen } from './support/faulty-proxy.ts'
import { behindProxy, inChunks, newStore, OUTPUT, retriesOf } from './support/s3-store.ts'
import { startS3, type S3Server } from './support/s3.ts'

const MIB = 1024 * 1024

let server: S3Server
beforeAll(async () => {
  server = await startS3()
})
afterAll(() => server.stop())

async function unfinishedUploads({ endpoint, region, bucket, credentials }: S3Options): Promise<number> {
  const client = new S3Client({
    endpoint: endpoint!,
    region,
    forcePathStyle: true,
    credentials: credentials!,
  })
  const { Uploads = [] } = await client.send(new ListMultipartUploadsCommand({ Bucket: bucket }))
  client.destroy()
  return Uploads.length
}

const isPut = ({ method }: Seen): boolean => method === 'PUT'
const isPart = ({ url }: Seen): boolean => url.includes('partNumber=')

describe('an upload', () => {
  const large = randomBytes(40 * MIB)

  it.each<[string, Fault]>([
    ['cut', { cutRequestAfter: 100_000 }],
    ['stuck', { stallRequestAfter: 100_000 }],
    ['damaged on the way', { refuse: { status: 400, code: 'BadDigest' } }],
    ['met by a conflict', { refuse: { status: 409, code: 'ConditionalRequestConflict' } }],
  ])('that is %s is sent again, and never seen half', async (_, fault) => {
    const { store, proxy, keys, events, options } = await behindProxy(server, { idleMs: 1000 })
    const small = randomBytes(3 * MIB)
    proxy.plan = (request) => {
      // Meets the first try of the small blob, and of the second part of the large one.
      const isFirst = proxy.seen.filter((one) => one.method === 'PUT' && one.url === request.url).length === 1
      if (request.method !== 'PUT' || !isFirst) return undefined
      return !isPart(request) || request.url.includes('partNumber=2&') ? fault : undefined
    }
    const first = await store.blobs.put(chunksOf(small))
    expect((await readAll(store.blobs, first.digest)).equals(small)).toBe(true)
    const second = await store.blobs.put(inChunks(large), () => inChunks(large))
    expect((await readAll(store.blobs, second.digest)).equals(large)).toBe(true)
    expect(retriesOf(events)).toHaveLength(2)
    expect(await keys()).toHaveLength(2)
    expect(await unfinishedUploads(options)).toBe(0)
  })

  it('that is always cut leaves nothing', async () => {
    const { store, proxy, keys, options } = await behindProxy(server, { patienceMs: 500 })
    proxy.plan = (request) => (isPut(request) ? { cutRequestAfter: 200_000 } : undefined)
    const unavailable = { code: 'STORE_UNAVAILABLE' }
    await expect(store.blobs.put(chunksOf(randomBytes(MIB)))).rejects.toMatchObject(unavailable)
    await expect(store.blobs.put(inChunks(large))).rejects.toMatchObject(unavailable)
    expect(await keys()).toEqual([])
    expect(await unfinishedUploads(options)).toBe(0)
  })

  it('of which the last part never arrives is not complete', async () => {
    const { store, proxy, keys, options } = await behindProxy(server, { patienceMs: 500 })
    proxy.plan = ({ url }) => (url.includes('partNumber=5&') ? { cutRequestAfter: 200_000 } : undefined)
    const content = () => inChunks(large)
    for (const again of [content, undefined])
      await expect(store.blobs.put(content(), again)).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' })
    expect(await keys()).toEqual([])
    expect(await unfinishedUploads(options)).toBe(0)
  })

  it.each([1, 2])('whose source fails leaves nothing, at reading %d', async (reading) => {
    const { store, keys, options } = await newStore(server)
    const closed: number[] = []
    async function* failing(n: number): AsyncGenerator<Uint8Array> {
      try {
        yield large
        if (n === reading) throw new Error('the source failed')
      } finally {
        closed.push(n)
      }
    }
    await expect(store.blobs.put(failing(1), () => failing(2))).rejects.toThrow('the source failed')
    expect(closed).toHaveLength(reading)
    expect(await keys()).toEqual([])
    expect(await unfinishedUploads(options)).toBe(0)
  })

  it('of content that changes between two readings is refused', async () => {
    const { store, keys, options } = await newStore(server)
    const other = Buffer.from(large)
    other[30 * MIB]! ^= 1
    await expect(store.blobs.put(inChunks(large), () => inChunks(other))).rejects.toMatchObject({
      code: 'SOURCE_CHANGED',
    })
    expect(await keys()).toEqual([])
    expect(await unfinishedUploads(options)).toBe(0)
  })

  it('that is aborted stops and leaves nothing', async () => {
    const abort = new AbortController()
    const { store, keys, options } = await newStore(server, { signal: abort.signal })
    let closed = false
    async function* endless(): AsyncGenerator<Uint8Array> {
      try {
        for (let n = 0; ; n++) {
          if (n === 40) abort.abort(new Error('stopped by SIGTERM'))
          yield randomBytes(MIB)
        }
      } finally {
        closed = true
      }
    }
    await expect(store.blobs.put(endless())).rejects.toThrow('stopped by SIGTERM')
    expect(closed).toBe(true)
    expect(await keys()).toEqual([])
    expect(await unfinishedUploads(options)).toBe(0)
  })

  it('is complete though the answer that said so was lost', async () => {
    const { store, proxy, keys, options } = await behindProxy(server)
    const isComplete = ({ method, url }: Seen): boolean => method === 'POST' && url.includes('uploadId=')
    proxy.plan = firstTimes(1, isComplete, { loseAnswer: true })
    const { digest } = await store.blobs.put(inChunks(large), () => inChunks(large))
    expect((await readAll(store.blobs, digest)).equals(large)).toBe(true)
    expect(await keys()).toHaveLength(1)
    // As servers say it that forget an upload once it is complete.
    proxy.plan = (request) => {
      if (!isComplete(request)) return undefined
      const tries = proxy.seen.filter(isComplete).length - 2
      return tries === 1 ? { loseAnswer: true } : { refuse: { status: 404, code: 'NoSuchUpload' } }
    }
    const other = randomBytes(40 * MIB)
    await store.blobs.put(inChunks(other), () => inChunks(other))
    expect((await readAll(store.blobs, digestOf(other))).equals(other)).toBe(true)
    expect(await unfinishedUploads(options)).toBe(0)
  })

  it('that the server has forgotten is an error', async () => {
    const { store, proxy, keys } = await behindProxy(server)
    const isComplete = ({ method, url }: Seen): boolean => method === 'POST' && url.includes('uploadId=')
    proxy.plan = (request) =>
      isComplete(request) ? { refuse: { status: 404, code: 'NoSuchUpload' } } : undefined
    await expect(store.blobs.put(inChunks(large))).rejects.toMatchObject({
      code: 'STORE_UNAVAILABLE',
      found: 'NoSuchUpload',
    })
    expect(await keys()).toEqual([])
  })
})

describe('a published entry', () => {
  it('is ours though the answer that said so was lost', async () => {
    const { store, proxy } = await behindProxy(server)
    await store.publish(OUTPUT, '0.0', 'artifact', 'before')
    proxy.plan = firstTimes(1, isPut, { loseAnswer: true })
    expect(await store.publish(OUTPUT, '0.1', 'artifact', 'ours')).toBe(true)
    expect((await store.read(OUTPUT, '0.1')).toString()).toBe('ours')
  })

  it('is not ours where somebody else had the name, though that answer was lost too', async () => {
    const { store, proxy, options } = await behindProxy(server)
    const { store: other } = await newStore(server, { bucket: options.bucket })
    await other.publish(OUTPUT, '0.0', 'artifact', 'the same')
    await store.publish(OUTPUT, '0.1', 'seal', '{}')
    proxy.plan = firstTimes(1, isPut, { loseAnswer: true })
    expect(await store.publish(OUTPUT, '0.0', 'artifact', 'the same')).toBe(false)
  })

  it('is refused by a server that passes over the condition', async () => {
    const { store, proxy, keys } = await behindProxy(server)
    for (const refuse of [{ status: 200 }, { status: 501, code: 'NotImplemented' }]) {
      proxy.plan = (request) => (isPut(request) ? { refuse } : undefined)
      const { store: fresh } = await newStore(server, { endpoint: proxy.endpoint })
      await expect(fresh.publish(OUTPUT, '0.0', 'artifact', '{}')).rejects.toMatchObject({
        code: 'STORAGE_UNSAFE',
      })
    }
    expect(await store.entries(OUTPUT)).toEqual([])
    expect(await keys()).toEqual([])
  })
})
