import { createHash, randomUUID } from 'node:crypto'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import type { Event } from '../../src/events.ts'
import { volumeLocks } from '../../src/locks/index.ts'
import { installTool, type InstallOptions, type Installed, type ToolName } from '../../src/tools/index.ts'
import type { Source } from '../../src/tools/bring.ts'
import type { Recipe } from '../../src/tools/make.ts'
import type { Volume } from '../../src/volume/volume.ts'
import { FAST as FAST_LOCKS, identityOf } from '../locks/support.ts'
import { startFileServer, type FileServer } from '../support/file-server.ts'
import { FAST } from './fast.ts'

export { FAST }

export const TOOL: ToolName = { name: 'greet', version: '1.0.0', platform: 'linux-amd64' }
/** A program as it is, that says which version it is. */
export const program = (version = '1.0.0'): Buffer => Buffer.from(`#!/bin/sh\necho greet ${version}\n`)

export const sha256 = (data: Uint8Array): string => createHash('sha256').update(data).digest('hex')

export async function server(tls?: { key: string; cert: string }): Promise<FileServer> {
  const started = await startFileServer(tls)
  onTestFinished(() => started.stop())
  return started
}

export const RECIPE: Recipe = {
  archive: 'auto',
  strip: 0,
  maxBytes: 64 * 1024 * 1024,
  binaries: [],
  verify: '',
}

export interface Installing extends Partial<Omit<InstallOptions, 'source' | 'recipe'>> {
  recipe?: Partial<Recipe>
  source?: Partial<Source>
}

/** Installs what the server has at `/greet`, or at `urls`; a pod of its own each time. */
export async function install(
  volume: Volume,
  urls: readonly string[],
  content: Buffer,
  { recipe, source, ...options }: Installing = {},
): Promise<Installed & { events: Event[] }> {
  const events: Event[] = []
  const locks = volumeLocks(volume, FAST_LOCKS)
  const installed = await installTool(volume, async () => locks, {
    tool: TOOL,
    source: {
      urls: urls.map((url) => new URL(url)),
      checksum: { sha256: sha256(content) },
      ca: '',
      authorization: undefined,
      ...source,
    },
    recipe: { ...RECIPE, ...recipe },
    mayDownload: true,
    timeoutMs: 20_000,
    identity: identityOf(`run-${randomUUID()}`, 'install'),
    liveness: async () => ({ state: 'unknown', why: 'nobody can tell here' }),
    emit: (event) => void events.push(event),
    signal: new AbortController().signal,
    tuning: FAST,
    locking: { tuning: FAST_LOCKS },
    ...options,
  })
  return { ...installed, events }
}

/** What is left below `tools/` beside whole installations. */
export async function leftovers(volume: Volume): Promise<string[]> {
  const names = await readdir(join(volume.layout.tool(TOOL.name, TOOL.version))).catch(() => [])
  return names.filter((name) => name !== TOOL.platform)
}
