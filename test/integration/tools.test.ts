/** Consumers of one tool as processes of their own: how often it is downloaded, and what is left if they are killed. */
import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { execa } from 'execa'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { CONTRACTS } from '../../src/catalog/contracts.ts'
import { defaultOf } from '../../src/catalog/step.ts'
import { paramEnv } from '../../src/contract.ts'
import { findTool, toolPaths, verifyTool } from '../../src/tools/index.ts'
import { readReport } from '../../src/tools/progress.ts'
import type { Volume } from '../../src/volume/volume.ts'
import { newVolume, until } from '../locks/support.ts'
import { startFileServer, type FileServer } from '../support/file-server.ts'
import { installed } from '../support/installed.ts'
import { identityOf } from '../support/step.ts'
import { leftovers, sha256, TOOL } from '../tools/support.ts'

const FAST_PROGRAM = join(import.meta.dirname, '../tools/program.ts')
const CONTENT = randomBytes(4 * 1024 * 1024)

let volume: Volume
let files: FileServer
beforeEach(async () => {
  volume = await newVolume()
  files = await startFileServer()
  files.files.set('/greet', CONTENT)
})
afterEach(() => files.stop())

type Program = [command: string, file: string]

/** A consumer with a pod of its own. */
function consume(name: string, program: Program) {
  const contract = CONTRACTS.find((one) => one.name === 'tool-install')!
  const given: Record<string, string> = { ...TOOL, sha256: sha256(CONTENT) }
  const params = Object.entries(contract.params).map(([param, definition]) => [
    paramEnv(param),
    String(given[param] ?? defaultOf(definition, 'task')),
  ])
  const [file, ...args] = program
  return execa(file, [...args, `${files.url}/greet`], {
    env: {
      PATH: process.env['PATH'],
      SHARED_WORKSPACE_LOG: 'json',
      ...Object.fromEntries(params),
      ...identityOf('run', name),
      WORKSPACE_SHARED: volume.layout.root,
    },
    extendEnv: false,
    reject: false,
    timeout: 100_000,
  })
}

async function bundled(): Promise<Program> {
  const folder = await installed()
  return [join(folder, 'node'), join(folder, 'steps/tool-install.mjs')]
}

/** The sizes of all files below the folder. */
async function diskUsed(folder: string): Promise<number> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  const sizes = entries
    .filter((one) => one.isFile())
    .map(async (one) => (await stat(join(one.parentPath, one.name))).size)
  return (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0)
}

describe('consumers that want a tool at once', () => {
  test.for([1, 3, 10, 50])('%i of them download it once', async (count) => {
    const program = await bundled()
    files.plan = () => ({ pauseMs: 4 })
    const all = await Promise.all(Array.from({ length: count }, (_, n) => consume(`c${n}`, program)))
    const failed = all.filter(({ exitCode }) => exitCode !== 0).map(({ stdout, stderr }) => stdout + stderr)
    expect(failed).toEqual([])
    expect(files.asked).toHaveLength(1)
    expect(files.asked[0]!.sent).toBe(CONTENT.length)
    expect(await diskUsed(volume.layout.tools)).toBeLessThanOrEqual(1.15 * CONTENT.length)
    expect(await leftovers(volume)).toEqual([])

    const later = await consume('later', program)
    expect(later.stdout).toContain('tool-found')
    expect(later.stdout).not.toContain('tool-waiting')
    expect(files.asked).toHaveLength(1)
  })
})

describe('a downloader that is killed', () => {
  test.for([1, 2, 3, 4, 5])('leaves what it has to the next: point %i', async () => {
    files.plan = () => ({ pauseMs: 4 })
    const program: Program = [process.execPath, FAST_PROGRAM]
    const consumers = new Map(['a', 'b', 'c'].map((name) => [name, consume(name, program)]))
    const killed = await downloader(consumers)
    await new Promise((resolve) => setTimeout(resolve, Math.random() * 1_200))
    consumers.get(killed)!.kill('SIGKILL')
    await consumers.get(killed)
    const wasThere = existsSync(toolPaths(volume.layout, TOOL).folder)
    const kept = wasThere ? CONTENT.length : await sizeOfPartial()
    const asked = files.asked.length
    consumers.delete(killed)

    const others = await Promise.all(consumers.values())
    expect(others.map(({ exitCode, stdout }) => (exitCode === 0 ? 'ok' : stdout))).toEqual(['ok', 'ok'])
    await verifyTool((await findTool(volume.layout, TOOL))!)
    // One that is killed when the tool is there, and its download not yet removed, leaves that to retention.
    if (!wasThere) expect(await leftovers(volume)).toEqual([])
    // Either all of it was there, or the next one went on behind the last byte that was.
    expect(files.asked.slice(asked).map(({ from }) => from)).toEqual(kept === CONTENT.length ? [] : [kept])
  })

  test('or paused, changes nothing any more when it goes on', async () => {
    files.plan = ({ n }) => ({ pauseMs: n === 0 ? 8 : 1 })
    const program: Program = [process.execPath, FAST_PROGRAM]
    const consumers = new Map(['a', 'b', 'c'].map((name) => [name, consume(name, program)]))
    const paused = await downloader(consumers)
    await until(async () => (await sizeOfPartial()) > 0, 'the first bytes')
    consumers.get(paused)!.kill('SIGSTOP')
    const others = [...consumers].filter(([name]) => name !== paused).map(([, consumer]) => consumer)
    expect((await Promise.all(others)).map(({ exitCode }) => exitCode)).toEqual([0, 0])
    const tool = await findTool(volume.layout, TOOL)

    consumers.get(paused)!.kill('SIGCONT')
    expect((await consumers.get(paused)!).exitCode).not.toBe(0)
    expect(await findTool(volume.layout, TOOL)).toEqual(tool)
    await verifyTool(tool!)
    expect(await leftovers(volume)).toEqual([])
  })

  async function downloader(consumers: Map<string, unknown>): Promise<string> {
    let by: string | undefined
    await until(async () => {
      by = (await readReport(toolPaths(volume.layout, TOOL), TOOL))?.report?.by
      return by !== undefined
    }, 'a download')
    return [...consumers.keys()].find((name) => by!.endsWith(`(pod run-${name}-pod)`))!
  }

  async function sizeOfPartial(): Promise<number> {
    const { version } = toolPaths(volume.layout, TOOL)
    const partial = (await readdir(version)).find((name) => name.startsWith('.download-'))
    const path = join(version, partial ?? '', 'content')
    return existsSync(path) ? (await stat(path)).size : 0
  }
})
