/** What happens to content on its way out of a bucket, by a real server behind a proxy that is none too good. */
import { randomBytes } from 'node:crypto'
import { PutObjectCommand, S3Client } from '@aws-sdk/client-s3'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { digestOf, readVerified } from '../../src/stores/digest.ts'
import type { S3Options } from '../../src/stores/s3/s3-artifacts.ts'
import { chunksOf, readAll } from '../stores/contract.ts'
import { firstTimes, type Fault, type Seen } from './support/faulty-proxy.ts'
import { behindProxy, retriesOf } from './support/s3-store.ts'
import { startS3, type S3Server } from './support/s3.ts'

const MIB = 1024 * 1024

let server: S3Server
beforeAll(async () => {
  server = await startS3()
})
afterAll(() => server.stop())

const isGet = ({ method }: Seen): boolean => method === 'GET'

describe('a download', () => {
  const data = randomBytes(5 * MIB)
  const digest = digestOf(data)
  const whole = { digest, size: data.length }

  async function stored(more: Partial<S3Options> = {}) {
    const made = await behindProxy(server, more)
    await made.store.blobs.put(chunksOf(data))
    made.proxy.seen.length = 0
    return made
  }

  it.each<[string, Fault]>([
    ['cut', { cutAnswerAfter: 1_500_000 }],
    ['stuck', { stallAnswerAfter: 1_500_000 }],
  ])('that is %s goes on where it was', async (_, fault) => {
    const { store, proxy, events } = await stored({ idleMs: 1000 })
    proxy.plan = firstTimes(3, isGet, fault)
    expect((await readVerified(store.blobs, whole)).equals(data)).toBe(true)
    expect(retriesOf(events)).toHaveLength(3)
    const ranges = proxy.seen.filter(isGet).map(({ headers }) => headers.range ?? 'bytes=0-')
    const from = ranges.map((range) => Number(/\d+/.exec(range)?.[0]))
    expect(from).toHaveLength(4)
    expect(from[3]).toBeGreaterThan(3_000_000)
    expect(
      proxy.seen
        .filter(isGet)
        .slice(1)
        .every(({ headers }) => headers['if-match']),
    ).toBe(true)
  })

  it('of a range goes on inside the range', async () => {
    const { store, proxy } = await stored()
    proxy.plan = firstTimes(1, isGet, { cutAnswerAfter: 700_000 })
    const range = { offset: 2_000_000, length: 1_000_000 }
    const found = await readAll(store.blobs, digest, range)
    expect(found.equals(data.subarray(2_000_000, 3_000_000))).toBe(true)
  })

  it('that is slow but alive is waited for', async () => {
    const { store, proxy, events } = await stored({ idleMs: 2000 })
    proxy.plan = () => ({ pauseMs: 50 })
    expect((await readVerified(store.blobs, whole)).equals(data)).toBe(true)
    expect(retriesOf(events)).toEqual([])
  })

  it('that always ends early is given up', async () => {
    const { store, proxy } = await stored({ patienceMs: 500 })
    proxy.plan = (request) => (isGet(request) ? { cutAnswerAfter: 0 } : undefined)
    await expect(readVerified(store.blobs, whole)).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' })
  })

  it('of a range that ends early is resumed, though the answer looks whole', async () => {
    const { store, proxy, events } = await stored()
    proxy.plan = firstTimes(1, isGet, { truncateAnswerTo: 1000 })
    const range = { offset: 100, length: 5000 }
    expect((await readAll(store.blobs, digest, range)).equals(data.subarray(100, 5100))).toBe(true)
    expect(retriesOf(events)).toEqual(['the answer ended 4000 bytes early'])
  })

  it.each<[string, Fault]>([
    ['truncated', { truncateAnswerTo: 3_000_000 }],
    ['damaged', { damageAt: 3_000_000 }],
  ])('that is %s without a trace is found out', async (_, fault) => {
    const { store, proxy } = await stored()
    proxy.plan = (request) => (isGet(request) ? fault : undefined)
    await expect(readVerified(store.blobs, whole)).rejects.toMatchObject({ code: 'DIGEST_MISMATCH' })
  })

  it('does not go on with an object of another ETag', async () => {
    const { store, proxy } = await stored()
    proxy.plan = (request) => {
      if (!isGet(request)) return undefined
      return request.headers['if-match'] ? { etag: '"0123456789abcdef"' } : { cutAnswerAfter: 1_500_000 }
    }
    await expect(readAll(store.blobs, digest)).rejects.toMatchObject({ code: 'DIGEST_MISMATCH' })
  })

  it('does not go on with an object that was put in its place', async () => {
    const { store, proxy, options } = await stored()
    proxy.plan = firstTimes(1, isGet, { cutAnswerAfter: 1_500_000 })
    const key = `store/blobs/sha256/${digest.slice(7)}`
    const reading = (async () => {
      for await (const _ of store.blobs.get(digest)) {
        await replaceObject(options, key, randomBytes(data.length))
      }
    })()
    await expect(reading).rejects.toMatchObject({ code: 'DIGEST_MISMATCH' })
  })

  it('of a server that serves no ranges does not take the wrong bytes', async () => {
    const { store, proxy } = await stored({ patienceMs: 300 })
    proxy.plan = (request) =>
      isGet(request) ? { refuse: { status: 200, headers: { 'content-length': '0' } } } : undefined
    await expect(readAll(store.blobs, digest, { offset: 5, length: 5 })).rejects.toMatchObject({
      code: 'STORE_UNAVAILABLE',
    })
  })
})

async function replaceObject({ bucket }: S3Options, key: string, data: Buffer): Promise<void> {
  const client = new S3Client({
    endpoint: server.endpoint,
    region: server.region,
    forcePathStyle: true,
    credentials: { accessKeyId: server.accessKey, secretAccessKey: server.secretKey },
  })
  await client.send(new PutObjectCommand({ Bucket: bucket, Key: key, Body: data }))
  client.destroy()
}
