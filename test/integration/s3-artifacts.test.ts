/** Whole artifacts in a bucket: by the library in this process, and in others that only their environment configures. */
import { createHash, randomBytes } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { mkdir, readFile, stat, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { execa } from 'execa'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { storeArtifact } from '../../src/artifacts/index.ts'
import type { Emit, Event } from '../../src/events.ts'
import { digestOf } from '../../src/stores/digest.ts'
import { opened } from '../../src/stores/open.ts'
import { connectionTo } from '../../src/stores/s3/connection.ts'
import { copyInParts } from '../../src/stores/s3/copy.ts'
import type { ArtifactStore } from '../../src/stores/store.ts'
import { identity, makeTree, newFolder, readTree, retrieveFrom, type Tree } from '../artifacts/support.ts'
import { chunksOf, readAll } from '../stores/contract.ts'
import { behindProxy, inChunks, newStore, type S3Store } from './support/s3-store.ts'
import { startS3, type S3Server } from './support/s3.ts'

const MIB = 1024 * 1024
const DAY_S = 24 * 60 * 60
const never = new AbortController().signal

let server: S3Server
beforeAll(async () => {
  server = await startS3()
})
afterAll(() => server.stop())

const TREE: Tree = {
  'src/main.go': 'package main\n',
  'bin/tool*': randomBytes(3 * MIB),
  'empty/deep': null,
  'ünï/ß': 'text',
  latest: { link: 'bin/tool' },
  zero: '',
}

const putIn = (store: ArtifactStore, source: string, pod = 'pod-1', emit: Emit = () => {}) =>
  storeArtifact({
    stores: [opened(store)],
    source,
    identity: identity({ pod }),
    output: 'out',
    overwrite: false,
    emit,
    signal: never,
  })

describe('an artifact in a bucket', () => {
  it('comes back as it was', async () => {
    const { store, options } = await newStore(server, { prefix: 'ci' })
    const source = await makeTree(TREE)
    const target = join(await newFolder(), 'target')
    const stored = await putIn(store, source)
    expect(stored).toMatchObject({
      uri: `s3://${options.bucket}/ci/uid-run-1/build/out`,
      strategy: 's3',
    })
    await retrieveFrom(store, target, { artifacts: [`${stored.uri}@${stored.digest}`] })
    expect(await readTree(target)).toEqual(await readTree(source))
  })

  it('is found by the name of its run', async () => {
    const { store } = await newStore(server)
    await putIn(store, await makeTree({ file: 'content' }))
    const target = join(await newFolder(), 'target')
    const other = identity({ run: 'run-2', task: 'use', pod: 'pod-3' })
    await retrieveFrom(store, target, { run: 'run-1', identity: other })
    expect(await readFile(join(target, 'file'), 'utf8')).toBe('content')
  })

  it('stored again sends no content', async () => {
    const { store, keys, proxy } = await behindProxy(server)
    const source = await makeTree({ ...TREE, large: randomBytes(30 * MIB) })
    const first = await putIn(store, source)
    const before = await keys()
    proxy.seen.length = 0
    const events: Event[] = []
    const second = await putIn(store, source, 'pod-1', (event) => events.push(event))
    expect(second).toEqual(first)
    expect(events.map(({ event }) => event)).toEqual(['artifact-unchanged'])
    expect(await keys()).toEqual(before)
    expect(proxy.seen.filter(({ method }) => !['GET', 'HEAD'].includes(method))).toEqual([])
  })

  it('is replaced by a retry until somebody has retrieved it', async () => {
    const { store } = await newStore(server)
    await putIn(store, await makeTree({ file: 'first' }))
    await putIn(store, await makeTree({ file: 'second' }), 'pod-2')
    const target = join(await newFolder(), 'target')
    await retrieveFrom(store, target)
    expect(await readFile(join(target, 'file'), 'utf8')).toBe('second')
    await expect(putIn(store, await makeTree({ file: 'third' }), 'pod-3')).rejects.toMatchObject({
      code: 'ARTIFACT_EXISTS',
    })
  })

  it('of which a blob is damaged, cut or gone leaves the target untouched', async () => {
    const { store, options } = await newStore(server)
    const data = randomBytes(3 * MIB)
    await putIn(store, await makeTree({ large: data, small: 'small' }))
    const blob = join(server.folderOf(options.bucket), 'store/blobs/sha256', digestOf(data).slice(7))
    const target = join(await newFolder(), 'target')
    for (const damaged of [Buffer.concat([data.subarray(1), Buffer.of(0)]), data.subarray(0, 2 * MIB)]) {
      await writeFile(blob, damaged)
      await expect(retrieveFrom(store, target)).rejects.toMatchObject({ code: 'DIGEST_MISMATCH' })
      await expect(stat(target)).rejects.toMatchObject({ code: 'ENOENT' })
    }
  })

  it('stored by two writers at once is one of the two, whole', async () => {
    const { store } = await newStore(server)
    const sources = await Promise.all(['a', 'b'].map((name) => makeTree({ [name]: name, same: 'same' })))
    for (let round = 0; round < 10; round++) {
      const writers = sources.map((source, i) =>
        storeArtifact({
          stores: [opened(store)],
          source,
          identity: identity({ pod: `pod-${i}` }),
          output: `out-${round}`,
          overwrite: false,
          emit: () => {},
          signal: never,
        }),
      )
      const stored = await Promise.all(writers)
      const target = join(await newFolder(), 'target')
      const { artifacts } = await retrieveFrom(store, target, { artifacts: [`build/out-${round}`] })
      const winner = stored.findIndex(({ digest }) => digest === artifacts[0]?.digest)
      expect(await readTree(target)).toEqual(await readTree(sources[winner]!))
    }
  })
})

describe('processes outside of a cluster', () => {
  /** What configures them, and nothing else. */
  function environment(s3: S3Server, { options }: S3Store, more = {}) {
    return {
      PATH: process.env['PATH'],
      SHARED_WORKSPACE_ARTIFACT_STRATEGY: 's3',
      SHARED_WORKSPACE_ARTIFACT_S3_BUCKET: options.bucket,
      SHARED_WORKSPACE_ARTIFACT_S3_ENDPOINT: s3.endpoint,
      SHARED_WORKSPACE_ARTIFACT_S3_PATH_STYLE: 'true',
      S3_ACCESS_KEY_ID: s3.accessKey,
      S3_SECRET_ACCESS_KEY: s3.secretKey,
      ...more,
    }
  }

  const outside = (verb: 'store' | 'retrieve', folder: string, env: Record<string, string | undefined>) =>
    execa('node', [join(import.meta.dirname, 'support/outside.ts'), verb, folder], {
      env,
      extendEnv: false,
      reject: false,
    })

  const resultOf = ({ stdout, stderr, exitCode }: Awaited<ReturnType<typeof outside>>) => {
    if (exitCode !== 0) throw new Error(stderr)
    return JSON.parse(stdout) as { digest: string; peakMiB: number }
  }

  it('store and retrieve with credentials of their environment', async () => {
    const made = await newStore(server)
    const source = await makeTree(TREE)
    const target = join(await newFolder(), 'target')
    const env = environment(server, made)
    resultOf(await outside('store', source, env))
    resultOf(await outside('retrieve', target, env))
    expect(await readTree(target)).toEqual(await readTree(source))
  })

  it("store and retrieve with the pod's identity, as the SDK finds it", async () => {
    const made = await newStore(server)
    const source = await makeTree({ file: 'content' })
    const env = environment(server, made, {
      S3_ACCESS_KEY_ID: undefined,
      S3_SECRET_ACCESS_KEY: undefined,
      AWS_ACCESS_KEY_ID: server.accessKey,
      AWS_SECRET_ACCESS_KEY: server.secretKey,
    })
    resultOf(await outside('store', source, env))
  })

  it('without any credentials are told what to look at', async () => {
    const made = await newStore(server)
    const env = environment(server, made, {
      S3_ACCESS_KEY_ID: undefined,
      S3_SECRET_ACCESS_KEY: undefined,
      AWS_EC2_METADATA_DISABLED: 'true',
    })
    const { stderr, exitCode } = await outside('store', await makeTree({ file: 'content' }), env)
    expect(exitCode).not.toBe(0)
    expect(stderr).toContain('STORE_DENIED')
    expect(stderr).toContain('shared-workspace-s3')
  })

  it('hand on large files without holding them in memory', async () => {
    const made = await newStore(server)
    const source = await newFolder()
    const target = join(await newFolder(), 'target')
    await writeBig(join(source, 'big'), 600)
    await mkdir(join(source, 'more'))
    await writeBig(join(source, 'more/bigger'), 200)
    const env = environment(server, made)
    const stored = resultOf(await outside('store', source, env))
    const retrieved = resultOf(await outside('retrieve', target, env))
    expect(await hashOf(join(target, 'big'))).toBe(await hashOf(join(source, 'big')))
    expect(stored.peakMiB).toBeLessThan(300)
    expect(retrieved.peakMiB).toBeLessThan(300)
  })

  it('trust a server of an authority of their own, and no other', async () => {
    const tls = await startS3({ tls: true })
    try {
      const made = await newStore(tls)
      const source = await makeTree(TREE)
      const target = join(await newFolder(), 'target')
      const ca = await readFile(tls.caFile!, 'utf8')
      const trusting = environment(tls, made, { SHARED_WORKSPACE_ARTIFACT_S3_CA: ca })
      resultOf(await outside('store', source, trusting))
      resultOf(await outside('retrieve', target, trusting))
      expect(await readTree(target)).toEqual(await readTree(source))
      const { stderr, exitCode } = await outside('store', source, environment(tls, made))
      expect(exitCode).not.toBe(0)
      expect(stderr).toContain('STORE_UNAVAILABLE')
      expect(stderr).toContain('SHARED_WORKSPACE_ARTIFACT_S3_CA')
    } finally {
      await tls.stop()
    }
  })
})

describe('content over some megabytes', () => {
  const data = randomBytes(70 * MIB)
  const blob = { digest: digestOf(data), size: data.length }
  const key = `store/blobs/sha256/${blob.digest.slice(7)}`

  it('that can be read only once arrives under its digest, and nowhere else', async () => {
    const { store, keys } = await newStore(server)
    expect(await store.blobs.put(chunksOf(data))).toEqual({ ...blob, isNew: true })
    expect((await readAll(store.blobs, blob.digest)).equals(data)).toBe(true)
    expect(await store.blobs.put(chunksOf(data))).toEqual({ ...blob, isNew: false })
    expect(await keys()).toEqual([key])
  })

  it('that can be read again does not travel where it is there', async () => {
    const { store, keys, proxy } = await behindProxy(server)
    let reads = 0
    const content = () => {
      reads++
      return inChunks(data)
    }
    expect(await store.blobs.put(content(), content)).toEqual({ ...blob, isNew: true })
    expect(reads).toBe(2)
    expect((await readAll(store.blobs, blob.digest)).equals(data)).toBe(true)
    proxy.seen.length = 0
    expect(await store.blobs.put(content(), content)).toEqual({ ...blob, isNew: false })
    expect(reads).toBe(3)
    expect(proxy.seen.map(({ method }) => method)).toEqual(['HEAD'])
    expect(await keys()).toEqual([key])
  })

  it('may be put by several at once', async () => {
    const { store, keys } = await newStore(server)
    const content = () => chunksOf(data)
    const putBoth = () => [store.blobs.put(content(), content), store.blobs.put(content())]
    await Promise.all([...putBoth(), ...putBoth()])
    expect((await readAll(store.blobs, blob.digest)).equals(data)).toBe(true)
    expect(await keys()).toEqual([key])
  })
})

describe('a blob that is stored again', () => {
  const data = randomBytes(23 * MIB)
  const digest = digestOf(data)

  async function aged(days: number, stored: Buffer) {
    const made = await behindProxy(server, { cleanupDays: 7 })
    const blob = await made.store.blobs.put(chunksOf(stored))
    const file = join(server.folderOf(made.options.bucket), 'store/blobs/sha256', blob.digest.slice(7))
    const then = Date.now() / 1000 - days * DAY_S
    await utimes(file, then, then)
    made.proxy.seen.length = 0
    return { ...made, ageInDays: async () => (Date.now() - (await stat(file)).mtimeMs) / 1000 / DAY_S }
  }

  // This server takes a copy onto itself, but leaves the time as it was.
  it.each([
    [6.5, 'is renewed before a lifecycle rule could take it', 1],
    [5, 'is left as it is while it is young', 0],
  ])('and %d days old %s', async (days, _, copies) => {
    const { store, proxy } = await aged(days, data.subarray(0, MIB))
    const put = await store.blobs.put(chunksOf(data.subarray(0, MIB)))
    expect(put.isNew).toBe(false)
    const renewals = proxy.seen.filter(({ method }) => method === 'PUT')
    expect(renewals).toHaveLength(copies)
    for (const { url, headers } of renewals) {
      expect(`/${String(headers['x-amz-copy-source'])}`).toBe(url.replace(/\?.*/, ''))
      expect(headers['x-amz-metadata-directive']).toBe('REPLACE')
    }
    expect((await readAll(store.blobs, put.digest)).equals(data.subarray(0, MIB))).toBe(true)
  })

  it('is renewed in parts where it is too large for one request', async () => {
    const { store, options, ageInDays } = await aged(8, data)
    const connection = connectionTo(options)
    const key = connection.keys.blob(digest)
    await copyInParts(connection, key, key, data.length, 8 * MIB)
    expect(await ageInDays()).toBeLessThan(0.5)
    expect((await readAll(store.blobs, digest)).equals(data)).toBe(true)
  })
})

describe('a prefix', () => {
  it.each(['../up', 'a//b', '.', 'a/../b', 'a\nb'])('that is none is refused: %j', async (prefix) => {
    await expect(newStore(server, { prefix })).rejects.toMatchObject({ code: 'UNSAFE_PATH' })
  })

  it('keeps two stores of one bucket apart, and is the same with or without slashes', async () => {
    const { store, options } = await newStore(server, { prefix: '/ci/one/' })
    const { store: same } = await newStore(server, { bucket: options.bucket, prefix: 'ci/one' })
    const { store: other } = await newStore(server, { bucket: options.bucket, prefix: 'ci/on' })
    expect(store.place).toBe(`s3://${options.bucket}/ci/one`)
    expect(same.place).toBe(store.place)
    const { digest } = await store.blobs.put(chunksOf('content'))
    await store.publish(['artifacts', 'run-1', 'build', 'out'], '0.0', 'artifact', '{}')
    expect(await same.blobs.size(digest)).toBe(7)
    expect(await other.blobs.size(digest)).toBeUndefined()
    expect(await same.names(['artifacts'])).toEqual(['run-1'])
    expect(await other.names(['artifacts'])).toEqual([])
  })
})

async function writeBig(path: string, mib: number): Promise<void> {
  const piece = randomBytes(MIB)
  async function* pieces() {
    for (let n = 0; n < mib; n++) {
      piece.writeUInt32LE(n, 0)
      yield Buffer.from(piece)
    }
  }
  await writeFile(path, pieces())
}

async function hashOf(path: string): Promise<string> {
  const hash = createHash('sha256')
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer)
  return hash.digest('hex')
}
