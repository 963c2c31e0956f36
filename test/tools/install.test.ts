import { chmod, readdir, readFile, rename, rm, symlink, unlink, writeFile } from 'node:fs/promises'
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import type { Event } from '../../src/events.ts'
import { injectFault } from '../../src/platform/fs.ts'
import { acquire, release, volumeLocks } from '../../src/locks/index.ts'
import {
  findTool,
  installLocally,
  installTool,
  toolLock,
  toolPaths,
  verifyTool,
} from '../../src/tools/index.ts'
import { readReport } from '../../src/tools/progress.ts'
import type { Liveness } from '../../src/volume/liveness.ts'
import type { Volume } from '../../src/volume/volume.ts'
import { FAST as FAST_LOCKS, identityOf, newVolume, until } from '../locks/support.ts'
import { temporaryFolder } from '../support/folder.ts'
import type { FileServer } from '../support/file-server.ts'
import { FAST, install, leftovers, program, server, sha256, TOOL, type Installing } from './support.ts'

const CONTENT = program()
let volume: Volume
let files: FileServer
let url: string
beforeEach(async () => {
  volume = await newVolume()
  files = await server()
  files.files.set('/greet', CONTENT)
  url = `${files.url}/greet`
})

const run = (options: Installing = {}) => install(volume, [url], CONTENT, options)
const named = (events: readonly Event[], name: Event['event']) => events.filter(({ event }) => event === name)
const inTool = (path: string) => join(volume.layout.tool(TOOL.name, TOOL.version), TOOL.platform, path)

describe('a tool', () => {
  test('is downloaded once, and then found', async () => {
    expect((await run()).hit).toBe('downloaded')
    const { hit, bytes, tool, events } = await run()
    expect({ hit, bytes }).toEqual({ hit: 'shared', bytes: 0 })
    expect(tool.marker.volume).toBe(volume.id)
    expect(files.asked).toHaveLength(1)
    expect(events.map(({ event }) => event)).toEqual(['tool-found'])
  })

  test('is found without a lock, and without a write', async () => {
    await run()
    const writes: string[] = []
    injectFault((operation, path) => {
      if (['write', 'link', 'mkdir', 'rename', 'unlink', 'symlink', 'rm'].includes(operation))
        writes.push(path)
    })
    onTestFinished(() => injectFault(undefined))
    const locks = () => Promise.reject(new Error('nobody needs a lock here'))
    await installTool(volume, locks, optionsFor(url))
    expect(writes).toEqual([])
  })

  test('of another digest is never replaced', async () => {
    await run()
    const other = randomBytes(10)
    await expect(install(volume, [url], other)).rejects.toMatchObject({
      code: 'DIGEST_MISMATCH',
      found: expect.stringContaining(sha256(CONTENT)) as string,
    })
    expect((await findTool(volume.layout, TOOL))?.marker.digest).toBe(`sha256:${sha256(CONTENT)}`)
  })

  test('stands beside its other versions and platforms', async () => {
    await run()
    await run({ tool: { ...TOOL, version: '2.0.0' } })
    await run({ tool: { ...TOOL, platform: 'linux-arm64' } })
    expect(await readdir(volume.layout.tool(TOOL.name, TOOL.version))).toEqual(['linux-amd64', 'linux-arm64'])
    expect(files.asked).toHaveLength(3)
  })

  test('is downloaded by one of those who want it at once', async () => {
    const content = randomBytes(500_000)
    files.files.set('/greet', content)
    files.plan = () => ({ pauseMs: 20 })
    const all = await Promise.all(Array.from({ length: 8 }, () => install(volume, [url], content)))
    expect(all.filter(({ hit }) => hit === 'downloaded')).toHaveLength(1)
    expect(files.asked).toHaveLength(1)
    const told = all.flatMap(({ events }) => named(events, 'tool-waiting'))
    expect(told).toContainEqual(expect.objectContaining({ stage: 'downloading', total: content.length }))
    expect(await leftovers(volume)).toEqual([])
  })

  test('is waited for by one that never downloads', async () => {
    const waiting = run({ mayDownload: false })
    await new Promise((resolve) => setTimeout(resolve, 100))
    expect(files.asked).toEqual([])
    await run()
    expect(await waiting).toMatchObject({ hit: 'shared', bytes: 0 })
  })

  test('that nobody brings in time is an error for one that waits', async () => {
    await expect(run({ mayDownload: false, timeoutMs: 200 })).rejects.toMatchObject({
      code: 'TOOL_NOT_INSTALLED',
      found: 'it is not there, and nobody tells of a download',
    })
  })

  test('that takes too long is an error that says how far it is', async () => {
    files.files.set('/greet', randomBytes(1_000_000))
    files.plan = () => ({ stallAfter: 500_000 })
    const stop = new AbortController()
    const slow = run({ signal: stop.signal, tuning: { ...FAST, idleMs: 20_000 } }).catch(
      (error: unknown) => error,
    )
    await until(async () => (await leftovers(volume)).length === 2, 'a download')
    await expect(run({ timeoutMs: 400 })).rejects.toMatchObject({
      code: 'TOOL_NOT_INSTALLED',
      found: expect.stringMatching(/is downloading it: \d+ of 1000000 bytes/) as string,
    })
    stop.abort(new Error('enough'))
    expect(await slow).toMatchObject({ message: 'enough' })
  })

  test('is brought by the next where the first one fails or stands still', async () => {
    files.plan = ({ n }) => (n === 0 ? { stallAfter: 10 } : undefined)
    const stop = new AbortController()
    const first = run({ signal: stop.signal, tuning: { ...FAST, idleMs: 20_000 } }).catch(() => 'stopped')
    const paths = toolPaths(volume.layout, TOOL)
    await until(async () => (await readReport(paths, TOOL))?.report?.bytes === 10, 'the first bytes')
    const second = run()
    stop.abort(new Error('cancelled'))
    expect(await first).toBe('stopped')
    const { hit, bytes } = await second
    expect({ hit, bytes }).toEqual({ hit: 'downloaded', bytes: CONTENT.length - 10 })
    expect(files.asked[1]?.headers.range).toBe('bytes=10-')
  })

  test('is brought from anew by the same mirror where what was left of a download is damaged', async () => {
    files.plan = ({ n }) => (n === 0 ? { stallAfter: 10 } : undefined)
    const stop = new AbortController()
    const first = run({ signal: stop.signal, tuning: { ...FAST, idleMs: 20_000 } }).catch(() => 'stopped')
    const paths = toolPaths(volume.layout, TOOL)
    await until(async () => (await readReport(paths, TOOL))?.report?.bytes === 10, 'the first bytes')
    stop.abort(new Error('cancelled'))
    await first
    const [partial] = await leftovers(volume)
    await writeFile(join(paths.version, partial!, 'content'), 'xxxxxxxxxx')
    expect(await run()).toMatchObject({ hit: 'downloaded' })
    expect(files.asked.map(({ from }) => from)).toEqual([0, 10, 0])
  })

  test('is not brought by one whose lock is held by somebody who does not tell anything', async () => {
    const giveBack = await holdLock()
    await expect(run({ timeoutMs: 900, liveness: alive })).rejects.toMatchObject({
      code: 'LOCK_NOT_ACQUIRED',
    })
    expect(files.asked).toEqual([])
    await giveBack()
    expect((await run()).hit).toBe('downloaded')
  })
})

describe('a tool that was changed', () => {
  const changes: [string, () => Promise<void>, RegExp][] = [
    [
      'by a consumer that makes it writable first',
      async () => {
        await chmod(inTool('content/greet'), 0o755)
        await writeFile(inTool('content/greet'), program('6.6.6'))
        await chmod(inTool('content/greet'), 0o555)
      },
      /content\/greet has the sha256/,
    ],
    [
      'in its length',
      async () => {
        await chmod(inTool('content/greet'), 0o755)
        await writeFile(inTool('content/greet'), '')
      },
      /content\/greet has the/,
    ],
    [
      'in its permissions',
      () => chmod(inTool('content/greet'), 0o444),
      /content\/greet has the mode 0444, not 0555/,
    ],
    ['by a file that was added', () => writeFile(inTool('bin/evil'), ''), /bin\/evil was added/],
    ['by a file that was removed', () => rm(inTool('content/greet')), /content\/greet is missing/],
    [
      'by a link elsewhere',
      async () => {
        await unlink(inTool('bin/greet'))
        await symlink('/bin/sh', inTool('bin/greet'))
      },
      /bin\/greet has the target "\/bin\/sh"/,
    ],
    [
      'into a folder',
      async () => {
        await rm(inTool('content/greet'))
        await rename(inTool('bin'), inTool('content/greet'))
      },
      /content\/greet is a dir, not a file/,
    ],
    [
      'by a marker that is cut short',
      async () => writeFile(inTool('tool.json'), '{"v":1'),
      /tool.json is missing or cut short/,
    ],
    ['by a marker that is gone', () => unlink(inTool('tool.json')), /tool.json is missing or cut short/],
  ]
  test.for(changes)('is found out, moved to the trash, and installed again: %s', async ([, change, why]) => {
    await run()
    await change()
    const { hit, tool, events } = await run()
    expect(hit).toBe('downloaded')
    await verifyTool(tool)
    const [damaged] = named(events, 'tool-damaged')
    expect(damaged).toMatchObject({ why: expect.stringMatching(why) as string })
    const { trash } = damaged as { trash: string }
    expect(JSON.parse(await readFile(join(trash, 'trashed.json'), 'utf8'))).toMatchObject({
      from: 'tools/greet/1.0.0/linux-amd64',
    })
  })

  test('is installed again once by those who find out at once', async () => {
    await run()
    await chmod(inTool('content/greet'), 0o444)
    const all = await Promise.all(Array.from({ length: 5 }, () => run()))
    expect(all.filter(({ hit }) => hit === 'downloaded')).toHaveLength(1)
    expect(files.asked).toHaveLength(2)
  })

  test('is not taken for whole by its size alone, by one that cannot have the lock', async () => {
    await run()
    await chmod(inTool('content/greet'), 0o755)
    await writeFile(inTool('content/greet'), program('6.6.6'))
    await chmod(inTool('content/greet'), 0o555)
    const giveBack = await holdLock()
    await expect(run({ timeoutMs: 1_500, liveness: alive })).rejects.toMatchObject({
      code: 'LOCK_NOT_ACQUIRED',
    })
    await giveBack()
    expect((await run()).hit).toBe('downloaded')
  })

  test('is never handed to one that only waits: it waits for another to install it again', async () => {
    await run()
    await chmod(inTool('content/greet'), 0o444)
    await expect(run({ mayDownload: false, timeoutMs: 200 })).rejects.toMatchObject({
      code: 'TOOL_NOT_INSTALLED',
      found: expect.stringContaining('damaged') as string,
    })
    const waiting = run({ mayDownload: false })
    await run()
    expect((await waiting).hit).toBe('shared')
  })
})

describe('a volume that is full', () => {
  const full = (path: RegExp) => {
    injectFault((operation, at) => {
      if (operation === 'write' && path.test(at))
        throw Object.assign(new Error('ENOSPC: no space left on device'), { code: 'ENOSPC' })
    })
    onTestFinished(() => injectFault(undefined))
  }

  test.for([
    ['while downloading', /\.download-.*content$/],
    ['while it is written down', /\/made\/\.tmp-/],
  ] as const)('ends with NO_SPACE and keeps nothing: %s', async ([, path]) => {
    full(path)
    await expect(run()).rejects.toMatchObject({ message: expect.stringContaining('ENOSPC') as string })
    injectFault(undefined)
    expect(await leftovers(volume)).toEqual([])
    expect((await run()).hit).toBe('downloaded')
  })

  test('of which the progress cannot be told does not matter', async () => {
    full(/download_in_progress/)
    expect((await run()).hit).toBe('downloaded')
  })
})

test('a local installation is found again in the same folder, and mended', async () => {
  const folder = await temporaryFolder()
  const events: Event[] = []
  const options = { ...optionsFor(url), emit: (event: Event) => void events.push(event) }
  const first = await installLocally(folder, 'the volume is full', options)
  expect(first).toMatchObject({ bytes: CONTENT.length, tool: { marker: { volume: 'local' } } })
  expect(named(events, 'tool-local')).toMatchObject([{ why: 'the volume is full' }])
  expect((await installLocally(folder, 'still', options)).bytes).toBe(0)
  await chmod(join(first.tool.paths.content, 'greet'), 0o444)
  expect((await installLocally(folder, 'still', options)).bytes).toBe(CONTENT.length)
})

const alive: Liveness = async () => ({ state: 'alive', why: 'it runs' })

/** Holds the tool's lock, and tells nothing. @returns what releases it */
async function holdLock(): Promise<() => Promise<unknown>> {
  const locks = volumeLocks(volume, FAST_LOCKS)
  const common = { identity: identityOf('other', 'hold'), emit: () => {} }
  const { signal } = new AbortController()
  const terms = { scope: 'task', policy: 'wait', timeoutMs: 1_000, liveness: alive, signal } as const
  const held = await acquire(locks, toolLock(TOOL), { ...common, ...terms })
  return () => release(locks, toolLock(TOOL), { ...common, epoch: held.acquired ? held.epoch : 0 })
}

function optionsFor(from: string) {
  return {
    tool: TOOL,
    source: {
      urls: [new URL(from)],
      checksum: { sha256: sha256(CONTENT) },
      ca: '',
      authorization: undefined,
    },
    recipe: { archive: 'auto' as const, strip: 0, maxBytes: 1e6, binaries: [], verify: '' },
    mayDownload: true,
    timeoutMs: 1_000,
    identity: identityOf('run', 'install'),
    liveness: async () => ({ state: 'unknown' as const, why: 'nobody tells' }),
    emit: () => {},
    signal: new AbortController().signal,
  }
}
