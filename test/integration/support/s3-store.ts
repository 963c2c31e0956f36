/** Stores of their own on a real S3 server, and what a test may look at behind them. */
import { readdir } from 'node:fs/promises'
import { onTestFinished } from 'vitest'
import type { Event } from '../../../src/events.ts'
import { s3Artifacts, type S3Options } from '../../../src/stores/s3/s3-artifacts.ts'
import type { ArtifactStore, EntryPath } from '../../../src/stores/store.ts'
import { startFaultyProxy, type FaultyProxy } from './faulty-proxy.ts'
import type { S3Server } from './s3.ts'

export interface S3Store {
  store: ArtifactStore
  options: S3Options
  events: Event[]
  /** The keys of all visible objects, sorted. */
  keys: () => Promise<string[]>
}

/** A store in a bucket of its own; `more` may lead it elsewhere. */
export async function newStore(server: S3Server, more: Partial<S3Options> = {}): Promise<S3Store> {
  const events: Event[] = []
  const bucket = more.bucket ?? (await server.bucket())
  const options: S3Options = {
    bucket,
    prefix: '',
    endpoint: server.endpoint,
    region: server.region,
    pathStyle: true,
    ca: '',
    credentials: { accessKeyId: server.accessKey, secretAccessKey: server.secretKey },
    cleanupDays: 7,
    emit: (event) => void events.push(event),
    ...more,
  }
  const keys = () => objectsIn(server.folderOf(bucket))
  return { store: s3Artifacts(options), options, events, keys }
}

/** The files below a bucket's folder, except those of uploads that nobody sees. */
async function objectsIn(folder: string): Promise<string[]> {
  const items = await readdir(folder, { recursive: true, withFileTypes: true })
  return items
    .filter((item) => item.isFile())
    .map((item) => `${item.parentPath}/${item.name}`.slice(folder.length + 1))
    .filter((key) => !key.startsWith('.sgwtmp'))
    .sort()
}

/** A store behind a proxy that does nothing yet. */
export async function behindProxy(
  server: S3Server,
  more: Partial<S3Options> = {},
): Promise<S3Store & { proxy: FaultyProxy }> {
  const proxy = await startFaultyProxy(server.endpoint)
  onTestFinished(() => proxy.stop())
  return { proxy, ...(await newStore(server, { endpoint: proxy.endpoint, ...more })) }
}

export const OUTPUT: EntryPath = ['artifacts', 'run-1', 'build', 'out']

/** Why requests were sent again. */
export const retriesOf = (events: Event[]): string[] =>
  events.flatMap((event) => (event.event === 'store-retry' ? [event.why] : []))

export async function* inChunks(data: Buffer, size = 300_000): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < data.length; at += size) yield data.subarray(at, at + size)
}
