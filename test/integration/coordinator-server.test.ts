/** The coordinator against those who want too much, something else, or come without the token. */
import { randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { connect } from 'node:net'
import { join } from 'node:path'
import { inspect } from 'node:util'
import { execa } from 'execa'
import { describe, expect, it } from 'vitest'
import { digestOf } from '../../src/stores/digest.ts'
import { blobPath, entriesPath, MAX_BODY, uploadPath } from '../../src/stores/coordinator/protocol.ts'
import { temporaryFolder } from '../support/folder.ts'
import { chunksOf, readAll } from '../stores/contract.ts'
import {
  ask,
  clientOf,
  randomChunks,
  startCoordinatorProcess,
  TOKEN,
  until,
  type Running,
} from '../coordinator/support.ts'

const MIB = 1024 * 1024
const MIBS = { COORDINATOR_MAX_BLOB: '8Mi', COORDINATOR_UPLOAD_IDLE: '1s' }
const blobsOf = ({ folder }: Running): string[] => readdirSync(join(folder, 'store/blobs/sha256'))

/** As it stands, without what fetch makes of a path. @returns the status and the body */
function askRaw(
  { port }: Running,
  method: string,
  path: string,
  body = '',
): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    const headers = { authorization: `Bearer ${TOKEN}`, 'content-length': Buffer.byteLength(body) }
    const sent = request({ port, host: '127.0.0.1', method, path, headers }, (answer) => {
      let text = ''
      answer.on('data', (data: Buffer) => (text += data.toString()))
      answer.on('end', () => resolve({ status: answer.statusCode!, text }))
    })
    sent.on('error', reject).end(body)
  })
}

/** What a PATCH of no stated length is answered; resolves when the server has closed the connection. */
function answerToUnsized({ port }: Running, path: string): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    const headers = [`Authorization: Bearer ${TOKEN}`, 'Upload-Offset: 0', 'Transfer-Encoding: chunked']
    socket.write(`PATCH ${path} HTTP/1.1\r\nHost: x\r\n${headers.join('\r\n')}\r\n\r\n3\r\nabc\r\n`)
    let text = ''
    socket.on('data', (data) => (text += data.toString()))
    socket.on('error', () => {}).on('close', () => resolve(text))
  })
}

describe('access', () => {
  it('is for those with a token alone, and probes', async () => {
    const server = await startCoordinatorProcess()
    const digest = (await clientOf(server.url).blobs.put(chunksOf('content'))).digest
    for (const token of ['', 'wrong', `${TOKEN}x`, TOKEN.slice(1)]) {
      const asked = await ask(server, blobPath(digest), { token })
      expect([token, asked.status, asked.headers.get('www-authenticate')]).toEqual([token, 401, 'Bearer'])
      expect(await asked.text()).not.toContain('content')
    }
    expect((await fetch(`${server.url}/healthz`)).status).toBe(200)
    expect((await fetch(`${server.url}/readyz`)).status).toBe(200)
    expect((await fetch(`${server.url}/v1/nothing`)).status).toBe(401)
    const other = clientOf(server.url, { token: 'another-token-0123456789' })
    for (const attempt of [
      () => other.blobs.put(chunksOf('x')),
      () => other.blobs.put(randomChunks(9 * MIB)),
      () => readAll(other.blobs, digest),
      () => other.entries(['artifacts', 'run']),
    ]) {
      const error = await attempt().catch((error: unknown) => error)
      expect(error).toMatchObject({ code: 'STORE_DENIED', exitCode: 27 })
      expect(inspect(error, { depth: 9 })).not.toContain('another-token')
    }
    expect(JSON.stringify(server.lines)).not.toContain(TOKEN)
  })

  it('is by any token of the Secret, as it is now', async () => {
    const server = await startCoordinatorProcess({
      tokens: { token: `${TOKEN}\n`, next: 'a-next-token-0123456789' },
    })
    const statusWith = async (token: string) => (await ask(server, blobPath(digestOf('')), { token })).status
    expect(await statusWith(TOKEN)).toBe(404)
    expect(await statusWith('a-next-token-0123456789')).toBe(404)
    const secret = readFileSync(`/proc/${server.pid}/environ`, 'utf8')
      .split('\0')
      .find((line) => line.startsWith('COORDINATOR_TOKENS='))!
      .split('=')[1]!
    rmSync(join(secret, 'token'))
    writeFileSync(join(secret, 'newest'), 'the-newest-token-0123456789')
    await until(async () => (await statusWith('the-newest-token-0123456789')) === 404)
    expect(await statusWith(TOKEN)).toBe(401)
    expect(await statusWith('a-next-token-0123456789')).toBe(404)
  })

  it('is never given without a good token: it does not start', async () => {
    for (const tokens of [{}, { token: 'short' }, { token: TOKEN, other: '' }] as Record<string, string>[])
      await expect(startCoordinatorProcess({ tokens })).rejects.toMatchObject({
        code: 64,
        lines: [{ code: 'USAGE' }],
      })
  })
})

const ELSEWHERE: [method: string, path: string, status: number][] = [
  ['GET', '/v1/blobs/sha256:..%2f..%2f..%2fetc%2fpasswd', 400],
  ['GET', `/v1/blobs/sha256:${'A'.repeat(64)}`, 400],
  ['GET', '/v1/blobs/..', 400],
  ['HEAD', '/v1/blobs/%2e%2e', 400],
  ['PUT', '/v1/uploads/..%2f..%2fx?digest=sha256:x', 404],
  ['GET', '/v1/uploads/..%2f..%2f.shared-workspace%2fformat.json', 404],
  ['DELETE', '/v1/uploads/..%2f..%2f..%2f.shared-workspace%2fformat.json', 404],
  ['GET', '/v1/entries/artifacts/..%2f..?entry=0.0', 400],
  ['GET', '/v1/entries/artifacts/../../.shared-workspace', 400],
  ['GET', '/v1/entries/.shared-workspace/probes', 400],
  ['GET', '/v1/entries/store/blobs', 400],
  ['GET', '/v1/entries/locks/x', 400],
  ['GET', '/v1/entries/artifacts', 400],
  ['GET', '/v1/entries/artifacts/run?entry=..%2f..%2fx', 400],
  ['PUT', '/v1/entries/artifacts/run?entry=..%2fx&kind=seal', 400],
  ['PUT', '/v1/entries/artifacts/run?entry=0.0&kind=folder', 400],
  ['PUT', '/v1/entries/artifacts/a%00b?entry=0.0&kind=seal', 400],
  ['PUT', '/v1/entries/trash/x?entry=0.0&kind=seal', 400],
  ['GET', '/v1/names/artifacts/%2e%2e', 400],
  ['GET', '/v1/runs/..%2f/x', 400],
  ['PUT', '/v1/runs/ns/run', 400],
  ['GET', '/v1/%', 400],
  ['GET', '/v1/__proto__/x', 404],
  ['GET', '/v1/blobs/a/b', 404],
  ['GET', '/v2/blobs/x', 404],
  ['GET', '/', 404],
  ['POST', `/v1/blobs/${digestOf('')}`, 405],
  ['toString', `/v1/blobs/${digestOf('')}`, 400],
]

describe('a path or digest that leads elsewhere', () => {
  it('is refused by the server', async () => {
    const server = await startCoordinatorProcess()
    await clientOf(server.url).blobs.put(chunksOf('content'))
    const before = readdirSync(server.folder, { recursive: true }).sort()
    for (const [method, path, status] of ELSEWHERE) {
      const answer = await askRaw(server, method, path, method === 'PUT' ? '../../evil' : '')
      expect([method, path, answer.status]).toEqual([method, path, status])
      expect(answer.text).not.toMatch(/root:|volumeId|\n {4}at /)
      expect(readdirSync(server.folder, { recursive: true }).sort()).toEqual(before)
    }
  })

  it('is refused by the client before it asks', async () => {
    const store = clientOf('http://127.0.0.1:9')
    for (const bad of ['..', '.', '', 'a/b', 'a\0', '.tmp-x', 'ü']) {
      await expect(store.entries(['artifacts', bad])).rejects.toMatchObject({
        code: 'UNSAFE_PATH',
      })
      await expect(store.names([bad])).rejects.toMatchObject({ code: 'UNSAFE_PATH' })
      await expect(store.read([bad], '0.0')).rejects.toMatchObject({ code: 'UNSAFE_PATH' })
      await expect(store.publish([bad], '0.0', 'seal', '')).rejects.toMatchObject({ code: 'UNSAFE_PATH' })
      await expect(store.findRun('ns', bad)).rejects.toMatchObject({ code: 'UNSAFE_PATH' })
    }
  })
})

describe('limits', () => {
  it('of one request, one blob, a document', async () => {
    const server = await startCoordinatorProcess({ env: MIBS })
    const init = { method: 'POST', body: randomBytes(MAX_BODY + 1) }
    const large = await ask(server, uploadPath('', digestOf(init.body)), init).catch(() => undefined)
    expect([undefined, 413]).toContain(large?.status)
    const path = (await ask(server, uploadPath(), { method: 'POST' })).headers.get('location')!
    expect(await answerToUnsized(server, path)).toMatch(/^HTTP\/1.1 411 /)
    expect((await ask(server, path)).headers.get('upload-offset')).toBe('0')
    const entry = entriesPath(['artifacts', 'run'], { entry: '0.0', kind: 'seal' })
    const document = await ask(server, entry, { method: 'PUT', body: randomBytes(2 * MIB) })
    expect(document.status).toBe(413)

    const store = clientOf(server.url)
    await expect(store.blobs.put(randomChunks(8 * MIB + 1))).rejects.toMatchObject({
      code: 'NO_SPACE',
      message: expect.stringContaining('COORDINATOR_MAX_BLOB'),
    })
    expect(await store.blobs.put(randomChunks(8 * MIB))).toMatchObject({ size: 8 * MIB })
  })

  it('of uploads at once: further ones wait until there is room, or an upload is given up', async () => {
    const env = { COORDINATOR_MAX_UPLOADS: '2', COORDINATOR_UPLOAD_IDLE: '1s' }
    const server = await startCoordinatorProcess({ env })
    for (const _ of [1, 2]) expect((await ask(server, uploadPath(), { method: 'POST' })).status).toBe(202)
    const third = await ask(server, uploadPath(), { method: 'POST' })
    expect([third.status, third.headers.get('retry-after')]).toEqual([429, '2'])
    const store = clientOf(server.url)
    const put = await store.blobs.put(randomChunks(9 * MIB))
    expect(put).toMatchObject({ size: 9 * MIB, isNew: true })
    expect(store.events).toContainEqual(expect.objectContaining({ event: 'store-retry' }))
    expect(server.lines.filter(({ event }) => event === 'upload-expired')).toHaveLength(2)
    expect(blobsOf(server)).toEqual([put.digest.slice(7)])
    const puts = await Promise.all(Array.from({ length: 6 }, () => store.blobs.put(randomChunks(5 * MIB))))
    expect(new Set(puts.map(({ digest }) => digest)).size).toBe(6)
  })

  it('of all that it keeps, without a trace of what did not fit', async () => {
    const server = await startCoordinatorProcess({ env: { COORDINATOR_CAPACITY: '20Mi' } })
    const store = clientOf(server.url)
    const first = await store.blobs.put(randomChunks(15 * MIB))
    for (const size of [9 * MIB, 30 * MIB])
      await expect(store.blobs.put(randomChunks(size))).rejects.toMatchObject({
        code: 'NO_SPACE',
        exitCode: 22,
      })
    expect(blobsOf(server)).toEqual([first.digest.slice(7)])
    expect((await store.blobs.put(randomChunks(4 * MIB))).isNew).toBe(true)
    expect(await readAll(store.blobs, first.digest)).toHaveLength(15 * MIB)
    const again = await startCoordinatorProcess({
      env: { COORDINATOR_CAPACITY: '20Mi', COORDINATOR_RESERVE: '999999Gi' },
    })
    await expect(clientOf(again.url).blobs.put(chunksOf('x'))).rejects.toMatchObject({
      code: 'NO_SPACE',
      expected: expect.stringContaining('stay free'),
    })
  })

  it('that only the disk knows', async () => {
    const folder = join(await temporaryFolder(), 'disk')
    mkdirSync(folder)
    const program = join(import.meta.dirname, '../coordinator/full-disk.ts')
    const server = await startCoordinatorProcess({ folder, program, env: { FULL: 'FULL' } })
    const store = clientOf(server.url)
    const first = await store.blobs.put(chunksOf('before'))
    writeFileSync(join(folder, '../FULL'), '')
    await expect(store.blobs.put(chunksOf('small'))).rejects.toMatchObject({ code: 'NO_SPACE' })
    await expect(store.blobs.put(randomChunks(9 * MIB))).rejects.toMatchObject({ code: 'NO_SPACE' })
    const path = ['artifacts', 'run', 'task', 'output']
    await expect(store.publish(path, '0.0', 'artifact', '{}')).rejects.toMatchObject({ code: 'NO_SPACE' })
    expect(blobsOf(server)).toEqual([first.digest.slice(7)])
    expect(await store.entries(path)).toEqual([])
    expect((await readAll(store.blobs, first.digest)).toString()).toBe('before')
    rmSync(join(folder, '../FULL'))
    expect((await store.blobs.put(randomChunks(9 * MIB))).isNew).toBe(true)
    expect(await store.publish(path, '0.0', 'artifact', '{}')).toBe(true)
  })

  it('of time: who sends nothing, or hardly anything, is cut, and holds nobody up', async () => {
    const server = await startCoordinatorProcess()
    const slow = Array.from({ length: 40 }, () => {
      const socket = connect(server.port, '127.0.0.1')
      socket.write('GET /v1/blobs/x HTTP/1.1\r\nHost: x\r\n')
      const drip = setInterval(() => socket.write('X-Slow: 1\r\n'), 500)
      return new Promise<void>((resolve) => {
        socket
          .on('error', () => {})
          .on('close', () => {
            clearInterval(drip)
            resolve()
          })
        socket.resume()
      })
    })
    const store = clientOf(server.url)
    expect((await store.blobs.put(randomChunks(9 * MIB))).isNew).toBe(true)
    await Promise.all(slow)
    expect((await store.blobs.put(chunksOf('after'))).isNew).toBe(true)
  })
})

describe('settings', () => {
  it('that cannot be are all named before it starts', async () => {
    const env = {
      COORDINATOR_MAX_BLOB: 'large',
      COORDINATOR_UPLOAD_IDLE: 'soon',
      COORDINATOR_CLEANUP_DAYS: '0',
    }
    const failure = await startCoordinatorProcess({ env }).catch((error: unknown) => error)
    expect(failure).toMatchObject({ code: 64, lines: [{ code: 'USAGE' }] })
    for (const name of Object.keys(env)) expect(JSON.stringify(failure)).toContain(name)
  })

  it('of a disk that is not there', async () => {
    const env = { COORDINATOR_FOLDER: '/nowhere/at/all' }
    await expect(startCoordinatorProcess({ env })).rejects.toMatchObject({ code: 20 })
  })
})

describe('a disk', () => {
  it('has one coordinator: the next waits until the one before has ended', async () => {
    const first = await startCoordinatorProcess()
    const waiting = startCoordinatorProcess({ folder: first.folder })
    let isServing = false
    void waiting.then(() => (isServing = true))
    await new Promise((done) => setTimeout(done, 1500))
    expect(isServing).toBe(false)
    first.signal('SIGKILL')
    expect((await fetch(`${(await waiting).url}/readyz`)).status).toBe(200)
  })

  it('that is taken away makes it unready', async () => {
    const folder = join(await temporaryFolder(), 'disk')
    mkdirSync(folder)
    const server = await startCoordinatorProcess({ folder })
    rmSync(folder, { recursive: true })
    expect((await fetch(`${server.url}/readyz`)).status).not.toBe(200)
    expect((await fetch(`${server.url}/healthz`)).status).toBe(200)
  })
})

const hasOpenssl = existsSync('/usr/bin/openssl')
describe.skipIf(!hasOpenssl)('TLS', () => {
  it('is trusted by the certificate that is given, and by none otherwise', async () => {
    const folder = await temporaryFolder()
    const [cert, key] = [join(folder, 'tls.crt'), join(folder, 'tls.key')]
    const subject = ['-subj', '/CN=coordinator', '-addext', 'subjectAltName=IP:127.0.0.1', '-days', '1']
    const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-noenc']
    await execa('openssl', ['req', '-x509', ...curve, ...subject, '-keyout', key, '-out', cert])
    const server = await startCoordinatorProcess({ env: { COORDINATOR_TLS: folder } })
    const url = server.url.replace('http:', 'https:')
    const store = clientOf(url, { ca: readFileSync(cert, 'utf8') })
    const { digest } = await store.blobs.put(randomChunks(9 * MIB))
    expect(digestOf(await readAll(store.blobs, digest))).toBe(digest)
    const began = performance.now()
    await expect(clientOf(url).blobs.size(digest)).rejects.toMatchObject({
      code: 'STORE_UNAVAILABLE',
      hint: expect.stringContaining('COORDINATOR_CA'),
    })
    // It does not hope that a certificate gets better.
    expect(performance.now() - began).toBeLessThan(15_000)
    await expect(clientOf(server.url, { patienceMs: 300 }).blobs.size(digest)).rejects.toMatchObject({
      code: 'STORE_UNAVAILABLE',
    })
  })
})
