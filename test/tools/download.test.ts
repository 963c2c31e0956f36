import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { randomBytes } from 'node:crypto'
import fc from 'fast-check'
import { beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import { execa } from 'execa'
import { startProxy, type FileFault, type FileServer } from '../support/file-server.ts'
import { newVolume } from '../locks/support.ts'
import { temporaryFolder } from '../support/folder.ts'
import type { Volume } from '../../src/volume/volume.ts'
import { env } from '../../src/platform/host.ts'
import { FAST, install, leftovers, server, sha256, TOOL, type Installing } from './support.ts'

const CONTENT = randomBytes(200_000)
let volume: Volume
let files: FileServer
let url: string
beforeEach(async () => {
  volume = await newVolume()
  files = await server()
  files.files.set('/greet', CONTENT)
  url = `${files.url}/greet`
})

const times =
  (faults: readonly (FileFault | undefined)[]): FileServer['plan'] =>
  ({ n }) =>
    faults[n]
const run = (options: Installing = {}) => install(volume, [url], CONTENT, options)
const content = () =>
  readFile(join(volume.layout.tool(TOOL.name, TOOL.version), TOOL.platform, 'content/greet'))

describe('a download', () => {
  test('is whole, verified, and leaves nothing beside', async () => {
    const { hit, bytes, tool } = await run()
    expect({ hit, bytes }).toEqual({ hit: 'downloaded', bytes: CONTENT.length })
    expect(await content()).toEqual(CONTENT)
    expect(tool.marker).toMatchObject({ source: url, checksum: 'verified', downloadBytes: CONTENT.length })
    expect(await leftovers(volume)).toEqual([])
  })

  test('goes on after any cuts, without fetching a byte twice', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 0, max: 100_000 }), { maxLength: 4 }),
        fc.integer({ min: 1, max: 200_000 }),
        async (cuts, length) => {
          const body = CONTENT.subarray(0, length)
          const [first, path] = [files.asked.length, `/cut-${files.asked.length}`]
          files.files.set(path, body)
          files.plan = ({ n }) => (cuts[n - first] === undefined ? undefined : { cutAfter: cuts[n - first]! })
          const fresh = await newVolume()
          const { bytes } = await install(fresh, [files.url + path], body)
          expect(bytes).toBe(length)
          const froms = files.asked.slice(first).map(({ from }) => from)
          expect(froms).toEqual(froms.toSorted((one, other) => one - other))
        },
      ),
      { numRuns: 25 },
    )
  })

  const passing: [string, FileFault[]][] = [
    ['a server that has too much to do', [{ status: 503 }, { status: 429, headers: { 'retry-after': '0' } }]],
    ['errors of the server', [{ status: 500 }, { status: 502 }, { status: 504 }]],
    ['a connection that keeps silent', [{ stallAfter: 1_000 }]],
    ['one that is cut before the first byte', [{ cutAfter: 0 }]],
    ['a server that ignores ranges', [{ cutAfter: 50_000 }, { ignoreRange: true }]],
    ['an answer without a length', [{ chunked: true }]],
    ['an answer without a length that is cut', [{ chunked: true, cutAfter: 70_000 }]],
    ['a range that cannot be had', [{ cutAfter: 50_000 }, { status: 416 }]],
    ['a file that changed in between', [{ body: randomBytes(200_000), cutAfter: 50_000 }]],
    [
      'one that changed without a word',
      [{ body: randomBytes(200_000), noValidators: true, cutAfter: 50_000 }],
    ],
    ['one that is shorter now', [{ body: randomBytes(300_000), noValidators: true, cutAfter: 250_000 }]],
  ]
  test.for(passing)('passes over %s', async ([, faults]) => {
    files.plan = times(faults)
    await run({ tuning: { ...FAST, idleMs: 200 } })
    expect(await content()).toEqual(CONTENT)
  })

  test('starts over where the server goes on with another file and says so by its ETag only', async () => {
    const other = randomBytes(200_000)
    let wentOn = false
    files.plan = ({ headers }) => {
      if (headers.range) {
        wentOn = true
        return { ignoreIfRange: true }
      }
      return wentOn ? undefined : { body: other, cutAfter: 50_000 }
    }
    const { events } = await run({ source: { checksum: { waived: 'greet' } } })
    expect(await content()).toEqual(CONTENT)
    expect(events).toContainEqual(
      expect.objectContaining({ event: 'tool-retry', why: expect.stringContaining('changed') as string }),
    )
  })

  test('waits as long as Retry-After says', async () => {
    files.plan = times([{ status: 503, headers: { 'retry-after': '1' } }])
    const { events } = await run()
    const retry = events.find((event) => event.event === 'tool-retry')
    expect(retry).toMatchObject({ why: 'status 503' })
    expect((retry as { waitMs: number }).waitMs).toBeGreaterThanOrEqual(750)
  })

  test('goes to the next mirror after a refusal, and on with what it has', async () => {
    files.files.set('/mirror', CONTENT)
    files.plan = ({ path, n }) =>
      path === '/mirror' ? undefined : n === 0 ? { cutAfter: 60_000 } : { status: 403 }
    const { bytes, tool } = await install(volume, [url, `${files.url}/mirror`], CONTENT)
    expect(bytes).toBe(CONTENT.length)
    expect(tool.marker.source).toBe(`${files.url}/mirror`)
    expect(files.asked.map(({ path, status }) => [path, status])).toEqual([
      ['/greet', 200],
      ['/greet', 403],
      ['/mirror', 206],
    ])
    expect(files.asked[2]!.from).toBeGreaterThan(0)
  })

  test('goes to the next mirror where one gives a wrong body of the right length', async () => {
    files.files.set('/wrong', randomBytes(CONTENT.length))
    const { tool } = await install(volume, [`${files.url}/wrong`, url], CONTENT)
    expect(tool.marker.source).toBe(url)
    expect(files.asked.map(({ path }) => path)).toEqual(['/wrong', '/greet'])
  })

  test('of a wrong body is refused, with what was expected and found', async () => {
    const wrong = randomBytes(CONTENT.length)
    files.files.set('/greet', wrong)
    await expect(run()).rejects.toMatchObject({
      code: 'DIGEST_MISMATCH',
      expected: `sha256:${sha256(CONTENT)}`,
      found: `${url}: sha256:${sha256(wrong)}`,
    })
    expect(await leftovers(volume)).toEqual([])
  })

  const refused: [string, FileServer['plan'], string][] = [
    ['404', () => ({ status: 404 }), 'status 404'],
    ['an endless 503', () => ({ status: 503 }), 'status 503 (asked 5 times)'],
    [
      'a loop of redirects',
      () => ({ status: 302, headers: { location: '/greet' } }),
      'more than 10 redirects',
    ],
    [
      'a redirect to a file',
      () => ({ status: 302, headers: { location: 'file:///etc/passwd' } }),
      'a redirect to file:///etc/passwd',
    ],
  ]
  test.for(refused)('ends with SOURCE_UNREACHABLE for %s', async ([, plan, why]) => {
    files.plan = plan
    await expect(run()).rejects.toMatchObject({ code: 'SOURCE_UNREACHABLE', found: `${url}: ${why}` })
  })

  test('follows redirects', async () => {
    files.plan = ({ path }) =>
      path === '/latest' ? { status: 302, headers: { location: '/greet?token=x' } } : undefined
    files.files.set('/greet?token=x', CONTENT)
    const { tool } = await install(volume, [`${files.url}/latest`], CONTENT)
    expect(tool.marker.source).toBe(`${files.url}/latest`)
  })

  test('shows no credentials of a URL', async () => {
    const secret = url.replace('http://', 'http://user:secret@')
    files.files.set('/greet?signature=secret', CONTENT)
    const { tool, events } = await install(volume, [`${secret}?signature=secret`], CONTENT)
    expect(files.asked[0]?.headers.authorization).toMatch(/^Basic /)
    expect(JSON.stringify([tool.marker, events])).not.toContain('secret')
  })

  test('of more than maxBytes is refused before it is fetched', async () => {
    await expect(run({ recipe: { maxBytes: 100_000 } })).rejects.toMatchObject({ code: 'ARCHIVE_UNSAFE' })
    files.plan = () => ({ chunked: true })
    await expect(run({ recipe: { maxBytes: 100_000 } })).rejects.toMatchObject({ code: 'ARCHIVE_UNSAFE' })
    expect(await leftovers(volume)).toEqual([])
  })
})

describe('a checksum', () => {
  const withChecksum = (checksum: Record<string, string>) => run({ source: { checksum } })

  test('comes from a list, from its URL, or is waived by name', async () => {
    const line = `${sha256(CONTENT)}  *./greet`
    const list = `${'0'.repeat(64)}  other\n${line}\n`
    for (const checksum of [
      { checksums: list },
      { waived: 'greet' },
      { checksums: `SHA256 (greet) = ${sha256(CONTENT)}` },
    ]) {
      const fresh = await newVolume()
      const { tool } = await install(fresh, [url], CONTENT, { source: { checksum } })
      expect(tool.marker.checksum).toBe('waived' in checksum ? 'waived' : 'verified')
    }
    files.files.set('/SHA256SUMS', Buffer.from(list))
    files.plan = ({ path, n }) => (path === '/SHA256SUMS' && n % 2 === 0 ? { status: 503 } : undefined)
    await withChecksum({ checksums: `${files.url}/SHA256SUMS` })
  })

  test.for([
    ['none', {}],
    ['one that is waived for another tool', { waived: 'other' }],
    ['one that is given and waived', { sha256: sha256(CONTENT), waived: 'greet' }],
    ['a list without the file', { checksums: `${'0'.repeat(64)}  other` }],
    ['a list with two digests for it', { checksums: `${'0'.repeat(64)}  greet\n${'1'.repeat(64)}  greet` }],
  ] as const)('is demanded: %s', async ([, checksum]) => {
    await expect(withChecksum(checksum)).rejects.toMatchObject({ code: 'USAGE' })
    expect(files.asked).toEqual([])
  })

  test('that cannot be had, or is wrong, installs nothing', async () => {
    await expect(withChecksum({ checksums: `${files.url}/nowhere` })).rejects.toMatchObject({
      code: 'SOURCE_UNREACHABLE',
    })
    await expect(withChecksum({ checksums: `${'0'.repeat(64)}  greet` })).rejects.toMatchObject({
      code: 'DIGEST_MISMATCH',
    })
    expect(await leftovers(volume)).toEqual([])
  })
})

describe('over TLS by a private authority', () => {
  let ca: string
  let secure: FileServer
  beforeEach(async () => {
    const made = await certificate()
    ca = made.cert
    secure = await server(made)
    secure.files.set('/greet', CONTENT)
  })

  test('takes the certificates of the configuration, and no others', async () => {
    const secureUrl = `${secure.url}/greet`
    await expect(install(volume, [secureUrl], CONTENT)).rejects.toMatchObject({
      code: 'SOURCE_UNREACHABLE',
      found: expect.stringContaining('certificate is not trusted') as string,
    })
    await install(volume, [secureUrl], CONTENT, { source: { ca } })
    expect(await content()).toEqual(CONTENT)
  })

  test('never follows a redirect to http', async () => {
    secure.plan = () => ({ status: 302, headers: { location: url } })
    await expect(install(volume, [`${secure.url}/greet`], CONTENT, { source: { ca } })).rejects.toMatchObject(
      {
        code: 'SOURCE_UNREACHABLE',
        found: expect.stringContaining('a redirect from https') as string,
      },
    )
    expect(files.asked).toEqual([])
  })

  test('gives the authorization to its host alone, and not after a redirect to another', async () => {
    const otherCertificate = await certificate()
    const other = await server(otherCertificate)
    other.files.set('/greet', CONTENT)
    secure.plan = ({ headers }) =>
      headers.authorization === 'Bearer t'
        ? { status: 302, headers: { location: `${other.url}/greet` } }
        : { status: 401 }
    const authorization = { host: new URL(secure.url).host, value: 'Bearer t' }
    const both = ca + otherCertificate.cert
    await install(volume, [`${secure.url}/greet`], CONTENT, { source: { ca: both, authorization } })
    expect(other.asked[0]?.headers.authorization).toBeUndefined()
  })

  test('goes through a proxy, by CONNECT for https, and not where NO_PROXY says so', async () => {
    const proxy = await startProxy()
    const set = (name: string, value: string): void => {
      env[name] = value
      onTestFinished(() => void delete env[name])
    }
    onTestFinished(() => proxy.stop())
    set('HTTPS_PROXY', proxy.url)
    set('http_proxy', proxy.url)
    await install(volume, [`${secure.url}/greet`], CONTENT, { source: { ca } })
    expect(proxy.seen).toEqual([`CONNECT ${new URL(secure.url).host}`])
    const second = { ...TOOL, version: '2' }
    await install(volume, [url], CONTENT, { tool: second })
    expect(proxy.seen[1]).toBe(`GET ${url}`)
    set('NO_PROXY', '127.0.0.1')
    await install(volume, [url], CONTENT, { tool: { ...TOOL, version: '3' } })
    expect(proxy.seen).toHaveLength(2)
  })
})

async function certificate(): Promise<{ key: string; cert: string }> {
  const folder = await temporaryFolder()
  const [key, cert] = [join(folder, 'key.pem'), join(folder, 'cert.pem')]
  const names = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=IP:127.0.0.1']
  const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2']
  await execa('openssl', ['req', '-x509', ...curve, ...names, '-keyout', key, '-out', cert])
  return { key: await readFile(key, 'utf8'), cert: await readFile(cert, 'utf8') }
}
