/** What a coordinator and its clients make of connections that break and servers that die. */
import { createHash, randomBytes, randomUUID } from 'node:crypto'
import { linkSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { digestOf } from '../../src/stores/digest.ts'
import { blobPath, uploadPath } from '../../src/stores/coordinator/protocol.ts'
import { layoutOf } from '../../src/volume/layout.ts'
import { chunksOf, readAll } from '../stores/contract.ts'
import { startProxy } from '../coordinator/proxy.ts'
import { ask, clientOf, startCoordinatorProcess, until, type Running } from '../coordinator/support.ts'

const MIB = 1024 * 1024
/** What the client keeps until the server has it. */
const BLOCK = 4 * MIB
const LARGE = randomBytes(21 * MIB + 12_345)
const DIGEST = digestOf(LARGE)

const inChunks = () =>
  chunksOf(...Array.from({ length: 22 }, (_, i) => LARGE.subarray(i * MIB, (i + 1) * MIB)))
const blobsOf = ({ folder }: Running): string[] => readdirSync(join(folder, 'store/blobs/sha256'))
const sha256 = (path: string): string =>
  `sha256:${createHash('sha256').update(readFileSync(path)).digest('hex')}`
const shownIn = (server: Running): string => sha256(layoutOf(server.folder).blob(DIGEST))

describe('an upload', () => {
  it('goes on where a cut connection left it, at most a block again', async () => {
    const server = await startCoordinatorProcess()
    const proxy = await startProxy(server.port)
    const cuts = [1 * MIB, 6 * MIB + 7, 100, 3 * MIB]
    proxy.faults.push(...cuts.map((cutUpAfter) => ({ cutUpAfter })))
    const store = clientOf(proxy.url)
    expect(await store.blobs.put(inChunks())).toEqual({ digest: DIGEST, size: LARGE.length, isNew: true })
    expect(proxy.broken).toBe(cuts.length)
    expect(store.events.filter(({ event }) => event === 'store-retry').length).toBeGreaterThan(0)
    expect(proxy.up).toBeLessThan(LARGE.length + (cuts.length + 1) * BLOCK)
    expect(shownIn(server)).toBe(DIGEST)
    expect(blobsOf(server)).toEqual([DIGEST.slice(7)])
  })

  it('goes on after the server was killed and started again', async () => {
    const first = await startCoordinatorProcess()
    const store = clientOf(first.url)
    const restarted = Promise.withResolvers<Running>()
    async function* content() {
      let sent = 0
      for await (const chunk of inChunks()) {
        yield chunk
        sent += chunk.length
        if (sent !== 14 * MIB) continue
        // Some blocks have arrived for sure; the kill then meets another one somewhere.
        await until(() => blobsOf(first).some((name) => sizeIn(first, name) >= BLOCK))
        first.signal('SIGKILL')
        expect(await first.ended).toBe('SIGKILL')
        expect(blobsOf(first).every((name) => name.startsWith('.tmp-upload-'))).toBe(true)
        restarted.resolve(startCoordinatorProcess({ folder: first.folder, port: first.port }))
      }
    }
    const sizeIn = (server: Running, name: string) =>
      statSync(join(server.folder, 'store/blobs/sha256', name)).size
    const put = await store.blobs.put(content())
    const second = await restarted.promise
    expect(put).toEqual({ digest: DIGEST, size: LARGE.length, isNew: true })
    expect(shownIn(second)).toBe(DIGEST)
    expect(blobsOf(second)).toEqual([DIGEST.slice(7)])
    // It was resumed there, not begun again.
    expect(second.lines.some(({ event }) => event === 'request-refused')).toBe(false)
    expect((await readAll(store.blobs, DIGEST)).equals(LARGE)).toBe(true)
  })

  it('that was finished, whose answer got lost, is finished once', async () => {
    const server = await startCoordinatorProcess()
    const { headers } = await ask(server, uploadPath(), { method: 'POST' })
    const path = headers.get('location')!
    await ask(server, path, { method: 'PATCH', headers: { 'upload-offset': '0' }, body: 'content' })
    const finish = async () =>
      (await ask(server, `${path}?digest=${digestOf('content')}`, { method: 'PUT' })).json()
    const stored = { digest: digestOf('content'), size: 7, isNew: true }
    expect(await Promise.all([finish(), finish()])).toEqual([stored, stored])
    expect(await finish()).toEqual(stored)
    // And nothing can be added to what is a blob now.
    const late = await ask(server, path, { method: 'PATCH', headers: { 'upload-offset': '7' }, body: '!' })
    expect(late.status).toBe(409)
    expect(blobsOf(server)).toEqual([digestOf('content').slice(7)])
    expect(readFileSync(layoutOf(server.folder).blob(digestOf('content')), 'utf8')).toBe('content')
  })

  it('that is a blob already, but for the removal of its first name, is no upload any more', async () => {
    const server = await startCoordinatorProcess()
    const { digest } = await clientOf(server.url).blobs.put(chunksOf('content'))
    server.signal('SIGKILL')
    await server.ended
    const blob = layoutOf(server.folder).blob(digest)
    const id = randomUUID()
    linkSync(blob, join(server.folder, 'store/blobs/sha256', `.tmp-upload-${id}`))
    const next = await startCoordinatorProcess({ folder: server.folder })
    expect((await ask(next, uploadPath(id))).status).toBe(404)
    expect(blobsOf(next)).toEqual([digest.slice(7)])
  })

  it('whose first connection hangs is taken over by the next', async () => {
    const server = await startCoordinatorProcess()
    const { headers } = await ask(server, uploadPath(), { method: 'POST' })
    const path = headers.get('location')!
    const body = new ReadableStream({
      start: (controller) => controller.enqueue(Buffer.from('half')),
    })
    const init = { method: 'PATCH', headers: { 'upload-offset': '0', 'content-length': '8' }, body }
    const hanging = ask(server, path, { ...init, duplex: 'half' }).catch(() => 'cut')
    const upload = () => join(server.folder, 'store/blobs/sha256', blobsOf(server)[0]!)
    await until(() => statSync(upload()).size === 4)
    const { headers: now } = await ask(server, path)
    expect(now.get('upload-offset')).toBe('4')
    expect(await hanging).toBe('cut')
    const rest = { method: 'PATCH', headers: { 'upload-offset': '4' }, body: 'half' }
    expect((await ask(server, path, rest)).headers.get('upload-offset')).toBe('8')
  })

  it('of other content than its digest says is refused and gone', async () => {
    const server = await startCoordinatorProcess()
    const { headers } = await ask(server, uploadPath(), { method: 'POST' })
    const path = headers.get('location')!
    await ask(server, path, { method: 'PATCH', headers: { 'upload-offset': '0' }, body: 'content' })
    const wrong = await ask(server, `${path}?digest=${digestOf('other')}`, { method: 'PUT' })
    expect([wrong.status, await wrong.json()]).toMatchObject([400, { code: 'DIGEST_MISMATCH' }])
    expect((await ask(server, path)).status).toBe(404)
    const whole = await ask(server, uploadPath('', digestOf('other')), { method: 'POST', body: 'content' })
    expect(whole.status).toBe(400)
    expect(blobsOf(server)).toEqual([])
    expect((await ask(server, blobPath(digestOf('content')))).status).toBe(404)
  })
})

describe('a download', () => {
  it.each(['reset', 'end'] as const)('goes on after a connection that ends by %s', async (how) => {
    const server = await startCoordinatorProcess()
    await clientOf(server.url).blobs.put(inChunks())
    const proxy = await startProxy(server.port)
    const cuts = [1000, 5 * MIB, 200, 9 * MIB + 1]
    proxy.faults.push(...cuts.map((downAfter) => ({ downAfter, how })))
    const store = clientOf(proxy.url)
    expect((await readAll(store.blobs, DIGEST)).equals(LARGE)).toBe(true)
    expect(proxy.broken).toBe(cuts.length)
    // Nothing comes twice, but for what a reset took from the buffers of the client's system.
    if (how === 'end') expect(proxy.down).toBeLessThan(LARGE.length + cuts.length * 2000)

    proxy.faults.push({ downAfter: 2 * MIB, how }, { downAfter: 1 * MIB, how })
    const range = { offset: 3 * MIB + 1, length: 10 * MIB }
    const expected = LARGE.subarray(range.offset, range.offset + range.length)
    const other = clientOf(proxy.url)
    expect((await readAll(other.blobs, DIGEST, range)).equals(expected)).toBe(true)
    expect(proxy.broken).toBe(cuts.length + 2)
  })

  it('is not given up while it is slow', async () => {
    const server = await startCoordinatorProcess()
    await clientOf(server.url).blobs.put(inChunks())
    const proxy = await startProxy(server.port)
    proxy.faults.push({ slowDown: 8 * MIB })
    const store = clientOf(proxy.url, { patienceMs: 500 })
    expect((await readAll(store.blobs, DIGEST)).equals(LARGE)).toBe(true)
    expect(store.events).toEqual([])
  })
})

describe('an entry', () => {
  it('whose answer got lost is known as one’s own', async () => {
    const server = await startCoordinatorProcess()
    const proxy = await startProxy(server.port)
    proxy.faults.push({ downAfter: 0 })
    const store = clientOf(proxy.url)
    const path = ['artifacts', 'run', 'task', 'output']
    expect(await store.publish(path, '0.0', 'artifact', '{"mine":1}')).toBe(true)
    expect(proxy.broken).toBe(1)
    proxy.faults.push({ downAfter: 0 })
    const other = clientOf(proxy.url)
    expect(await other.publish(path, '0.0', 'artifact', '{"mine":2}')).toBe(false)
    expect(proxy.broken).toBe(2)
    expect((await store.read(path, '0.0')).toString()).toBe('{"mine":1}')
  })
})

describe('a client', () => {
  it('says after its patience what does not answer, and why', async () => {
    const server = await startCoordinatorProcess()
    server.signal('SIGKILL')
    await server.ended
    const store = clientOf(server.url, { patienceMs: 500 })
    await expect(store.blobs.size(DIGEST)).rejects.toMatchObject({
      code: 'STORE_UNAVAILABLE',
      message: expect.stringContaining('ECONNREFUSED'),
    })
    await expect(store.blobs.put(chunksOf('x'))).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' })
    await expect(readAll(store.blobs, DIGEST)).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' })
    expect(store.events.filter(({ event }) => event === 'store-retry').length).toBeGreaterThan(2)
  })

  it('does not take the answers of another server for a coordinator’s', async () => {
    const { createServer } = await import('node:http')
    const other = createServer((_, response) => response.writeHead(404).end('no such page'))
    await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve))
    const store = clientOf(`http://127.0.0.1:${(other.address() as { port: number }).port}`)
    await expect(store.blobs.size(DIGEST)).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' })
    await expect(store.findRun('ns', 'run')).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' })
    other.close()
    other.closeAllConnections()
  })

  it('stops waiting when it is told to', async () => {
    const server = await startCoordinatorProcess()
    server.signal('SIGKILL')
    await server.ended
    const controller = new AbortController()
    const store = clientOf(server.url, { signal: controller.signal, patienceMs: 1e9 })
    const size = store.blobs.size(DIGEST)
    setTimeout(() => controller.abort(new Error('stopped by SIGTERM')), 300)
    await expect(size).rejects.toThrow('aborted')
  })
})
