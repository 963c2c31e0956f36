/** The coordinator under load: stopped in the middle of it, and with more data than it may hold in memory. */
import { randomBytes } from 'node:crypto'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { execa } from 'execa'
import { describe, expect, it } from 'vitest'
import { storeArtifact } from '../../src/artifacts/index.ts'
import { digestOf } from '../../src/stores/digest.ts'
import { opened } from '../../src/stores/open.ts'
import type { ArtifactStore } from '../../src/stores/store.ts'
import { identity, makeTree, newFolder, readTree, retrieveFrom } from '../artifacts/support.ts'
import { chunksOf, readAll } from '../stores/contract.ts'
import { peakOf } from '../coordinator/peak.ts'
import { startProxy } from '../coordinator/proxy.ts'
import { clientOf, startCoordinatorProcess, until, type Running } from '../coordinator/support.ts'

const MIB = 1024 * 1024
const blobsOf = ({ folder }: Running): string[] => readdirSync(join(folder, 'store/blobs/sha256'))

describe('a coordinator that is told to stop', () => {
  it('ends with code 0, and its successor goes on with what was under way', async () => {
    const first = await startCoordinatorProcess()
    const store = clientOf(first.url)
    const known = randomBytes(8 * MIB)
    await store.blobs.put(chunksOf(known))
    // Slow enough to be under way when the server stops, and to be done long before it would be cut.
    const proxy = await startProxy(first.port)
    proxy.faults.push({ slowDown: 6 * MIB })
    const download = readAll(clientOf(proxy.url).blobs, digestOf(known))
    const puts = Array.from({ length: 6 }, (_, i) => {
      const data = randomBytes(24 * MIB + i)
      async function* slowly() {
        for (let at = 0; at < data.length; at += MIB) {
          yield data.subarray(at, at + MIB)
          await new Promise((done) => setTimeout(done, 40))
        }
      }
      return store.blobs.put(slowly()).then((put) => ({ put, data }))
    })
    await until(() => blobsOf(first).filter((name) => name.startsWith('.tmp-upload-')).length === 6)
    await until(() => proxy.down > 0)
    first.signal('SIGTERM')
    const began = performance.now()
    expect(await first.ended).toBe(0)
    expect(performance.now() - began).toBeLessThan(25_000)
    expect(first.lines.map(({ event }) => event)).toEqual(
      expect.arrayContaining(['coordinator-stopping', 'coordinator-stopped']),
    )
    // What was being read has come to its end without another connection.
    expect((await download).equals(known)).toBe(true)
    expect(proxy.broken).toBe(0)
    const second = await startCoordinatorProcess({ folder: first.folder, port: first.port })
    for (const { put, data } of await Promise.all(puts)) {
      expect(put).toEqual({ digest: digestOf(data), size: data.length, isNew: true })
      expect((await readAll(store.blobs, put.digest)).equals(data)).toBe(true)
    }
    expect(blobsOf(second).filter((name) => name.startsWith('.tmp-'))).toEqual([])
    expect(second.lines.filter(({ event }) => event === 'request-refused')).toEqual([])
  })
})

describe('memory', () => {
  it('stays small on both sides, whatever the size', async () => {
    const server = await startCoordinatorProcess()
    const idle = peakOf(server.pid)
    const client = join(import.meta.dirname, '../coordinator/put-and-get.ts')
    const { stdout } = await execa(process.execPath, [client, server.url, '512'])
    expect(JSON.parse(stdout)).toMatchObject({ same: true })
    const { idleMiB, peakMiB } = JSON.parse(stdout) as { idleMiB: number; peakMiB: number }
    expect(peakOf(server.pid)).toBeLessThan(idle + 200)
    expect(peakMiB).toBeLessThan(idleMiB + 200)
  })
})

const never = new AbortController().signal
const common = { emit: () => {}, signal: never }
const store = (on: ArtifactStore, source: string, more = {}) =>
  storeArtifact({
    stores: [opened(on)],
    identity: identity(),
    source,
    output: 'out',
    overwrite: false,
    ...common,
    ...more,
  })

const TREE = {
  'bin/tool*': '#!/bin/sh\n',
  empty: null,
  link: { link: 'bin/tool' },
  'large.bin': randomBytes(9 * MIB),
  ...Object.fromEntries(Array.from({ length: 300 }, (_, i) => [`src/${i % 7}/${i}.txt`, `file ${i}`])),
}

describe('an artifact', () => {
  it('comes back as it was, is unchanged when stored again, and is one of two writers’', async () => {
    const server = await startCoordinatorProcess()
    const client = clientOf(server.url)
    const source = await makeTree(TREE)
    const stored = await store(client, source)
    expect(stored.uri).toMatch(/^coordinator:\/\/127\.0\.0\.1:\d+\/uid-run-1\/build\/out/)
    const target = join(await newFolder(), 'target')
    await retrieveFrom(client, target)
    expect(await readTree(target)).toEqual(await readTree(source))
    const blobs = blobsOf(server)
    expect((await store(client, source)).digest).toBe(stored.digest)
    expect(blobsOf(server)).toEqual(blobs)

    const sources = await Promise.all(['a', 'b', 'c', 'd'].map((text) => makeTree({ file: text })))
    const writers = sources.map((one) => store(clientOf(server.url), one, { output: 'contended' }))
    const settled = await Promise.allSettled(writers)
    expect(settled.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
    for (const one of settled)
      if (one.status === 'rejected') expect(one.reason).toMatchObject({ code: 'ARTIFACT_EXISTS' })
  })

  it('gets through while connections break all the time', async () => {
    const server = await startCoordinatorProcess()
    const proxy = await startProxy(server.port)
    for (let i = 0; i < 12; i++)
      proxy.faults.push(
        i % 2 ? { cutUpAfter: 300_000 * i } : { downAfter: 40 * i, how: i % 4 ? 'end' : 'reset' },
      )
    const client = clientOf(proxy.url)
    const source = await makeTree(TREE)
    await store(client, source)
    for (let i = 0; i < 6; i++) proxy.faults.push({ downAfter: 500_000 * i + 77, how: 'end' })
    const target = join(await newFolder(), 'target')
    await retrieveFrom(client, target)
    expect(await readTree(target)).toEqual(await readTree(source))
    expect(proxy.broken).toBeGreaterThan(6)
  })
})

describe('maintenance', () => {
  it('takes old artifacts from the disk, without asking whether their runs live', async () => {
    const first = await startCoordinatorProcess()
    const source = await makeTree(TREE)
    for (const run of ['nightly-1', 'nightly-2', 'nightly-3'])
      await store(clientOf(first.url), source, { identity: identity({ run }) })
    first.signal('SIGTERM')
    await first.ended
    const daysAgo = (days: number) => Date.now() / 1000 - days * 86_400
    for (const [run, days] of [
      ['nightly-1', 4],
      ['nightly-2', 2],
      ['nightly-3', 4],
    ] as const)
      await execa('find', [
        join(first.folder, 'artifacts', `uid-${run}`),
        '-exec',
        'touch',
        '-h',
        '-d',
        `@${daysAgo(days)}`,
        '{}',
        '+',
      ])
    const env = { COORDINATOR_CLEANUP_EVERY: '1s', COORDINATOR_CLEANUP_DAYS: '3' }
    const second = await startCoordinatorProcess({ folder: first.folder, env })
    const done = () => second.lines.filter(({ event }) => event === 'retention-done')
    await until(() => done().some(({ action }) => action === 'trash'))
    // The newest of a name stays, however old.
    expect(done().map(({ path }) => path)).toContain('artifacts/uid-nightly-1/build/out')
    for (const run of ['nightly-2', 'nightly-3'])
      expect(readdirSync(join(first.folder, `artifacts/uid-${run}/build/out`))).toEqual(['0.0'])
    expect(second.lines.filter(({ event }) => event === 'warning')).toEqual([])
  })
})
