/** A bundled build of the steps, as the image has them, and folders to bench in. */
import { mkdir, mkdtemp, readFile, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { bundle } from '../../images/bundle.ts'
import { defaultOf } from '../../src/catalog/step.ts'
import { CONTRACTS } from '../../src/catalog/contracts.ts'
import { paramEnv, workspaceEnv } from '../../src/contract.ts'
import { execa } from 'execa'
import type { Command } from './pair.ts'

export interface BenchOptions {
  rounds: number
  /** Everything, not just what fits into two minutes. */
  full: boolean
  /** Where trees, volumes and targets are; a temporary folder by default. */
  folder?: string
  /** Another mount of the same file system. */
  second?: string
}

export interface World {
  /** On the file system that is measured. */
  folder: string
  /** The same folder by the second mount. */
  second: string | undefined
  /** On this machine's disk. */
  local: string
  /** A name that nothing had before. What a run has written stays until the end: ext4 is slow for some seconds
   *  to make files where some were removed. */
  fresh(folder?: string): string
  newVolume(): Promise<string>
  /** The command and environment of a step. */
  step(name: string, volume: string, params?: Record<string, string>, args?: string[]): Command
  /** The most memory that a step has at a time, in MiB. */
  memoryOf(step: Command): Promise<number>
}

export async function withWorld<T>(options: BenchOptions, use: (world: World) => Promise<T>): Promise<T> {
  const local = await mkdtemp(join(tmpdir(), 'shared-workspace-bench-'))
  const folder = options.folder ? await mkdtemp(join(options.folder, 'shared-workspace-bench-')) : local
  try {
    await bundle(join(local, 'steps'))
    await symlink(join(import.meta.dirname, '../../node_modules'), join(local, 'node_modules'))
    return await use(worldIn(local, folder, options.second && join(options.second, basename(folder))))
  } finally {
    for (const made of new Set([folder, local])) await rm(made, { recursive: true, force: true })
  }
}

function worldIn(local: string, folder: string, second: string | undefined): World {
  let names = 0
  const fresh = (inside = folder): string => join(inside, String(names++))
  return {
    folder,
    second,
    local,
    fresh,
    newVolume: async () => (await mkdir(fresh(), { recursive: true })) ?? '',
    step: (name, volume, params = {}, args = []) => ({
      command: [process.execPath, join(local, 'steps', `${name}.mjs`), ...args],
      env: { ...paramsOf(name, params), ...IDENTITY, [workspaceEnv('shared')]: volume },
    }),
    async memoryOf({ command: [node = '', ...args], env = {} }) {
      const report = fresh(local)
      await execa(node, ['--import', join(import.meta.dirname, 'peak.ts'), ...args], {
        env: { ...env, BENCH_PEAK: report },
      })
      return Math.round(Number(await readFile(report, 'utf8')) / 1024)
    },
  }
}

const IDENTITY = { POD_NAME: 'bench', POD_UID: 'bench', POD_NAMESPACE: 'bench' }

function paramsOf(step: string, given: Record<string, string>): Record<string, string> {
  const contract = CONTRACTS.find(({ name }) => name === step)!
  const env: Record<string, string> = {}
  for (const [key, definition] of Object.entries(contract.params)) {
    const value = given[key] ?? defaultOf(definition, 'task')
    if (typeof value === 'string') env[paramEnv(key)] = value
  }
  return env
}
