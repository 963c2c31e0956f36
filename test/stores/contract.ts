/** What every store must do. A new store passes this suite unchanged. */
import { createHash, randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { digestOf, readVerified } from '../../src/stores/digest.ts'
import type { ArtifactStore, BlobStore, EntryKind, EntryPath, Range } from '../../src/stores/store.ts'
import { fencedContract } from './fenced.ts'

export async function* chunksOf(...chunks: (string | Uint8Array)[]): AsyncGenerator<Uint8Array> {
  for (const chunk of chunks) yield Buffer.from(chunk)
}

export async function readAll(store: BlobStore, digest: string, range?: Range): Promise<Buffer> {
  const chunks: Uint8Array[] = []
  for await (const chunk of store.get(digest, range)) chunks.push(chunk)
  return Buffer.concat(chunks)
}

export function storeContract(name: string, makeStore: () => Promise<BlobStore>): void {
  describe(`${name} keeps the contract of a store`, () => {
    it('gives back what was put, under its sha256', async () => {
      const store = await makeStore()
      const put = await store.put(chunksOf('hello ', 'world'))
      expect(put).toEqual({ digest: digestOf('hello world'), size: 11, isNew: true })
      expect(await store.size(put.digest)).toBe(11)
      expect((await readAll(store, put.digest)).toString()).toBe('hello world')
    })

    it('adds nothing for content that it has', async () => {
      const store = await makeStore()
      const first = await store.put(chunksOf('same'))
      const second = await store.put(chunksOf('sa', 'me'))
      expect(second).toEqual({ ...first, isNew: false })
    })

    it('keeps an empty blob', async () => {
      const store = await makeStore()
      const { digest } = await store.put(chunksOf())
      expect(digest).toBe(digestOf(''))
      expect(await store.size(digest)).toBe(0)
      expect(await readAll(store, digest)).toHaveLength(0)
    })

    it('gives any range of a blob of several chunks', async () => {
      const store = await makeStore()
      const data = randomBytes(2.5 * 1024 * 1024)
      const { digest } = await store.put(chunksOf(data.subarray(0, 700_000), data.subarray(700_000)))
      for (const [offset, length] of [
        [0, 1],
        [1_048_575, 2],
        [1_000_000, 1_500_000],
        [data.length - 3, 3],
      ] as const) {
        const range = await readAll(store, digest, { offset, length })
        expect(range.equals(data.subarray(offset, offset + length))).toBe(true)
      }
      expect(
        createHash('sha256')
          .update(await readAll(store, digest))
          .digest('hex'),
      ).toBe(digest.slice(7))
    })

    it('leaves nothing where the stream fails', async () => {
      const store = await makeStore()
      async function* failing(): AsyncGenerator<Uint8Array> {
        yield Buffer.from('half')
        throw new Error('the source failed')
      }
      await expect(store.put(failing())).rejects.toThrow('the source failed')
      expect(await store.size(digestOf('half'))).toBeUndefined()
    })

    it('lets many callers put the same content at once, one of which adds it', async () => {
      const store = await makeStore()
      const puts = await Promise.all(Array.from({ length: 8 }, () => store.put(chunksOf('contended'))))
      expect(puts.filter((put) => put.isNew)).toHaveLength(1)
      expect((await readAll(store, digestOf('contended'))).toString()).toBe('contended')
    })

    it('says what it does not have', async () => {
      const store = await makeStore()
      const digest = digestOf('nowhere')
      expect(await store.size(digest)).toBeUndefined()
      await expect(readAll(store, digest)).rejects.toMatchObject({ code: 'ARTIFACT_NOT_FOUND' })
    })

    it('refuses a digest that is none, before it becomes a name', async () => {
      const store = await makeStore()
      await expect(readAll(store, 'sha256:../../../etc/passwd')).rejects.toMatchObject({
        code: 'DIGEST_MISMATCH',
      })
    })

    it('is verified by readVerified against size and digest', async () => {
      const store = await makeStore()
      const { digest } = await store.put(chunksOf('verified'))
      expect((await readVerified(store, { digest, size: 8 })).toString()).toBe('verified')
      await expect(readVerified(store, { digest, size: 7 })).rejects.toMatchObject({
        code: 'DIGEST_MISMATCH',
      })
      await expect(readVerified(store, { digest, size: 9 })).rejects.toMatchObject({
        code: 'DIGEST_MISMATCH',
      })
    })
  })
}

/** An artifact store, and how runs get their names in it. */
export interface ArtifactStoreUnderTest {
  store: ArtifactStore
  nameRun: ArtifactStore['nameRun']
}

const OUTPUT: EntryPath = ['artifacts', 'run-1', 'build', 'out']
const HOSTILE_NAMES = [
  '',
  '.',
  '..',
  '../up',
  'a/b',
  '/etc',
  '.hidden',
  'nul\0',
  'a\\b',
  'ü',
  'x'.repeat(129),
]

/** What every artifact store must do, beside what its blobs must. */
export function artifactStoreContract(name: string, make: () => Promise<ArtifactStoreUnderTest>): void {
  const makeStore = async (): Promise<ArtifactStore> => (await make()).store

  storeContract(`${name}: blobs`, async () => (await makeStore()).blobs)
  fencedContract(name, makeStore)

  describe(`${name} keeps the contract of an artifact store`, () => {
    it('lists what was published, lowest first, as it is now', async () => {
      const store = await makeStore()
      expect(await store.entries(OUTPUT)).toEqual([])
      const published: [string, EntryKind][] = [
        ['1.0', 'artifact'],
        ['0.10', 'artifact'],
        ['0.9', 'seal'],
        ['0.2', 'artifact'],
      ]
      for (const [entry, kind] of published) {
        expect(await store.publish(OUTPUT, entry, kind, `${kind} ${entry}`)).toBe(true)
        expect((await store.entries(OUTPUT)).some((one) => one.name === entry)).toBe(true)
      }
      expect(await store.entries(OUTPUT)).toEqual([
        { epoch: 0, n: 2, name: '0.2', kind: 'artifact' },
        { epoch: 0, n: 9, name: '0.9', kind: 'seal' },
        { epoch: 0, n: 10, name: '0.10', kind: 'artifact' },
        { epoch: 1, n: 0, name: '1.0', kind: 'artifact' },
      ])
    })

    it('gives back what an entry was published with', async () => {
      const store = await makeStore()
      const documents = { '0.0': '{"ü":"ß\\n"}', '0.1': 'x'.repeat(100_000) }
      await store.publish(OUTPUT, '0.0', 'artifact', documents['0.0'])
      await store.publish(OUTPUT, '0.1', 'seal', documents['0.1'])
      expect((await store.read(OUTPUT, '0.0')).toString()).toBe(documents['0.0'])
      expect((await store.read(OUTPUT, '0.1')).toString()).toBe(documents['0.1'])
    })

    it('leaves what is there where a name is taken, by either kind', async () => {
      const store = await makeStore()
      expect(await store.publish(OUTPUT, '0.0', 'artifact', 'first')).toBe(true)
      expect(await store.publish(OUTPUT, '0.0', 'artifact', 'second')).toBe(false)
      expect(await store.publish(OUTPUT, '0.0', 'seal', 'third')).toBe(false)
      expect(await store.publish(OUTPUT, '0.1', 'seal', 'fourth')).toBe(true)
      expect(await store.publish(OUTPUT, '0.1', 'artifact', 'fifth')).toBe(false)
      expect((await store.read(OUTPUT, '0.0')).toString()).toBe('first')
      expect((await store.read(OUTPUT, '0.1')).toString()).toBe('fourth')
      expect((await store.entries(OUTPUT)).map(({ kind }) => kind)).toEqual(['artifact', 'seal'])
    })

    it('lets exactly one of many publishers have a name, seal or artifact', async () => {
      const store = await makeStore()
      for (let n = 0; n < 5; n++) {
        const publishers = Array.from({ length: 12 }, (_, i) => ({
          kind: i % 2 ? ('seal' as const) : ('artifact' as const),
          document: `publisher ${i}`,
        }))
        const won = await Promise.all(
          publishers.map(({ kind, document }) => store.publish(OUTPUT, `0.${n}`, kind, document)),
        )
        const winners = publishers.filter((_, i) => won[i])
        expect(winners).toHaveLength(1)
        expect((await store.read(OUTPUT, `0.${n}`)).toString()).toBe(winners[0]?.document)
        expect((await store.entries(OUTPUT)).at(-1)?.kind).toBe(winners[0]?.kind)
      }
    })

    it('lets one of several publishers have a name who say the same', async () => {
      const store = await makeStore()
      const won = await Promise.all(
        Array.from({ length: 8 }, () => store.publish(OUTPUT, '0.0', 'artifact', 'the same')),
      )
      expect(won.filter(Boolean)).toHaveLength(1)
    })

    it('keeps outputs apart whose names begin alike', async () => {
      const store = await makeStore()
      await store.publish(['artifacts', 'run-1', 'build', 'out'], '0.0', 'artifact', 'out')
      await store.publish(['artifacts', 'run-1', 'build', 'out-2'], '0.1', 'artifact', 'out-2')
      await store.publish(['artifacts', 'run-1', 'build-2', 'out'], '0.2', 'artifact', 'build-2')
      expect((await store.entries(OUTPUT)).map((entry) => entry.name)).toEqual(['0.0'])
    })

    it('names what is right below a path, sorted', async () => {
      const store = await makeStore()
      expect(await store.names(['artifacts', 'run-1'])).toEqual([])
      for (const [task, output] of [
        ['test', 'report'],
        ['build', 'out'],
        ['build', 'image'],
        ['build.run-1-build-0', 'out'],
      ] as const)
        await store.publish(['artifacts', 'run-1', task, output], '0.0', 'artifact', '{}')
      expect(await store.names(['artifacts', 'run-1'])).toEqual(['build', 'build.run-1-build-0', 'test'])
      expect(await store.names(['artifacts', 'run-1', 'build'])).toEqual(['image', 'out'])
      expect(await store.names(['artifacts'])).toEqual(['run-1'])
      expect(await store.names(['artifacts', 'run'])).toEqual([])
    })

    it('says that an entry is not there', async () => {
      const store = await makeStore()
      await expect(store.read(OUTPUT, '0.0')).rejects.toMatchObject({ code: 'ARTIFACT_NOT_FOUND' })
      await store.publish(OUTPUT, '0.0', 'artifact', '{}')
      await expect(store.read(OUTPUT, '0.1')).rejects.toMatchObject({ code: 'ARTIFACT_NOT_FOUND' })
    })

    it('finds a run by its name, and the latest of several', async () => {
      const { store, nameRun } = await make()
      expect(await store.findRun('ns', 'nightly')).toBeUndefined()
      await nameRun({ namespace: 'ns', name: 'nightly', uid: 'uid-b' })
      expect(await store.findRun('ns', 'nightly')).toBe('uid-b')
      // The only clock may be one that counts seconds.
      await sleep(1_100)
      await nameRun({ namespace: 'ns', name: 'nightly', uid: 'uid-a' })
      expect(await store.findRun('ns', 'nightly')).toBe('uid-a')
      expect(await store.findRun('ns', 'night')).toBeUndefined()
      expect(await store.findRun('n', 's.nightly')).toBeUndefined()
    })

    it.each(HOSTILE_NAMES)('refuses the name %j before it becomes a place', async (hostile) => {
      const store = await makeStore()
      const refused = { code: 'UNSAFE_PATH' }
      const path = ['artifacts', hostile, 'build', 'out']
      await expect(store.entries(path)).rejects.toMatchObject(refused)
      await expect(store.names(path)).rejects.toMatchObject(refused)
      await expect(store.read(path, '0.0')).rejects.toMatchObject(refused)
      await expect(store.publish(path, '0.0', 'artifact', '{}')).rejects.toMatchObject(refused)
      await expect(store.read(OUTPUT, hostile)).rejects.toMatchObject(refused)
      await expect(store.publish(OUTPUT, hostile, 'seal', '{}')).rejects.toMatchObject(refused)
      expect(await store.names(['artifacts'])).toEqual([])
    })
  })
}
