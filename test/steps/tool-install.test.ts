import { chmod, readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { execa } from 'execa'
import { beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import { platformName } from '../../src/platform/host.ts'
import { temporaryFolder } from '../support/folder.ts'
import { startFileServer, type FileServer } from '../support/file-server.ts'
import { identityOf, runStep, type StepOptions } from '../support/step.ts'
import { tar } from '../tools/archives.ts'
import { program, sha256 } from '../tools/support.ts'

/** tar -cJ of `greet-1.0.0/greet`. */
const XZ = [
  '/Td6WFoAAATm1rRGAgAhARYAAAB0L+Wj4Cf/AItdADOciODt2UGlrb4bI3Pxuoi19aqGt1nhbU7K+uW74pkiWblGQ/KUBiJI3p0b',
  'V5Y/4RTaL5po8kkWrzsU6Z3FtD4T/GSoC+uSP7JEs/xEhuS87uTTPGuejRKEtqzj6wrXAtnmH8wrEseKsZW8oVRcm/fipRcRULim',
  'ShuKkCzT2ALBfYBkEhWqApHBpAAAAKv72vP/oZD5AAGnAYBQAACwRMl7scRn+wIAAAAABFla',
].join('')

let folder: string
let shared: string
let files: FileServer
let archive: Buffer
beforeEach(async () => {
  folder = await temporaryFolder()
  shared = await temporaryFolder()
  files = await startFileServer()
  onTestFinished(() => files.stop())
  archive = await tar([{ name: 'greet-1.0.0/bin/greet', mode: 0o755, content: program() }])
  files.files.set('/greet.tar', archive)
})

const install = (
  params: Record<string, string> = {},
  { args = [`${files.url}/greet.tar`], ...options }: Partial<StepOptions> = {},
) =>
  runStep('tool-install', {
    params: { name: 'greet', version: '1.0.0', sha256: sha256(archive), strip: '1', ...params },
    args,
    workspaces: { shared },
    resultsIn: folder,
    ...options,
  })

test('tells where the tool is, and who says so', async () => {
  const first = await install(
    { verify: 'test "$(greet)" = "greet 1.0.0"' },
    { identity: identityOf('run-a', 'build') },
  )
  expect(first.stdout).toContain('[run-a-build-pod]')
  expect(first.exitCode).toBe(0)
  expect(first.results).toMatchObject({
    version: '1.0.0',
    digest: `sha256:${sha256(archive)}`,
    hit: 'downloaded',
    bytes: String(archive.length),
  })
  const { path = '', volume } = first.results
  expect(path).toBe(join(shared, 'tools/greet/1.0.0', platformName(), 'bin'))
  expect((await execa(join(path, 'greet'))).stdout).toBe('greet 1.0.0')
  const marker = JSON.parse(await readFile(join(path, '../tool.json'), 'utf8')) as Record<string, unknown>
  expect(marker).toMatchObject({ volume, by: 'TaskRun test/run-a-build (pod run-a-build-pod)' })

  const second = await install()
  expect(second.results).toMatchObject({ path, hit: 'shared', bytes: '0', volume })
  expect(files.asked).toHaveLength(1)
})

test('gives a consumer that may only read what is there', async () => {
  await install()
  const reader = { uid: 12345, gid: 12345, umask: '077' }
  const outcome = await install({ role: 'wait', sha256: '' }, reader)
  expect(outcome.results).toMatchObject({ hit: 'shared' })
})

describe('is refused', () => {
  test.for([
    ['without a checksum', { sha256: '' }],
    ['with one waived for another tool', { sha256: '', waiveChecksum: 'other' }],
    ['with a digest that is none', { sha256: 'abc' }],
    ['with a name that is none', { name: '../evil' }],
    ['with a fallback that its role has no use for', { role: 'wait', fallback: 'local' }],
  ] as const)('%s', async ([, params]) => {
    expect(await install(params)).toMatchObject({ exitCode: 64 })
    expect(files.asked).toEqual([])
  })

  test('from a URL that is neither http nor https', async () => {
    expect((await install({}, { args: ['file:///etc/passwd'] })).exitCode).toBe(64)
    expect((await install({}, { args: [] })).exitCode).toBe(64)
  })
})

test('unpacks xz, which needs a library of its own', async () => {
  const xz = Buffer.from(XZ, 'base64')
  files.files.set('/greet.tar.xz', xz)
  const { results } = await install({ sha256: sha256(xz) }, { args: [`${files.url}/greet.tar.xz`] })
  expect((await execa(join(results['path'] ?? '', 'greet'))).stdout).toBe('greet 1.0.0')
})

test('refuses what is not the volume that all consumers are to see', async () => {
  const { results } = await install()
  const same = await install({ volume: results.volume ?? '' })
  expect(same).toMatchObject({ exitCode: 0, results: { hit: 'shared' } })
  const empty = await temporaryFolder()
  for (const role of ['auto', 'wait']) {
    const nothing = await install(
      { role, ...(role === 'auto' ? { volume: results.volume ?? '' } : {}) },
      { workspaces: { shared: empty } },
    )
    expect(nothing.exitCode).toBe(20)
    expect(nothing.stdout).toMatch(/is device \d+, inode \d+, on a mount of type/)
  }
  expect(await readdir(empty)).toEqual([])
  const other = await temporaryFolder()
  await install({}, { workspaces: { shared: other } })
  const another = await install({ volume: results.volume ?? '' }, { workspaces: { shared: other } })
  expect(another.exitCode).toBe(20)
  expect(another.stdout).toContain('another volume is mounted')
})

test('checks the checksum of a tool without one only by its name', async () => {
  expect((await install({ sha256: '', waiveChecksum: 'greet' })).results).toMatchObject({ hit: 'downloaded' })
})

describe('without the volume', () => {
  const local = () => ({ fallback: 'local', localPath: join(folder, 'tools') })

  test('fails, unless a local installation is allowed, which is said loudly', async () => {
    const unbound = { workspaces: {} }
    expect((await install({}, unbound)).exitCode).toBe(20)
    const { results, line } = await install(local(), unbound)
    expect(results).toMatchObject({ hit: 'local', volume: 'local', bytes: String(archive.length) })
    expect(line('tool-local')).toMatchObject({ message: expect.stringContaining('WARNING') as string })
    expect((await execa(join(results['path'] ?? '', 'greet'))).stdout).toBe('greet 1.0.0')
  })

  test('or where it cannot be written, installs for this task alone', async () => {
    await install({ name: 'other' })
    await chmod(join(shared, 'tools'), 0o555)
    const other = { uid: 12345, gid: 12345 }
    await chmod(folder, 0o777)
    expect((await install({}, other)).exitCode).toBe(21)
    expect((await install(local(), other)).results).toMatchObject({ hit: 'local' })
  })

  test('keeps failures of the tool itself as they are', async () => {
    const outcome = await install({ ...local(), sha256: '0'.repeat(64) }, { workspaces: {} })
    expect(outcome.exitCode).toBe(31)
  })
})
