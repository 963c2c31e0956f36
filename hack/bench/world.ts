/** A bundled build of the steps and a volume to bench on, as the image has them. */
import { mkdtemp, mkdir, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { bundle } from '../../images/bundle.ts'
import { defaultOf } from '../../src/catalog/step.ts'
import { CONTRACTS } from '../../src/catalog/contracts.ts'
import { paramEnv, workspaceEnv } from '../../src/contract.ts'

export interface World {
  folder: string
  volume: string
  /** The command and environment of a step. */
  step: (
    name: string,
    params?: Record<string, string>,
    args?: string[],
  ) => { command: string[]; env: Record<string, string> }
}

export async function withWorld<T>(use: (world: World) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), 'shared-workspace-bench-'))
  const [steps, volume] = [join(folder, 'steps'), join(folder, 'volume')]
  try {
    await mkdir(volume)
    await bundle(steps)
    await symlink(join(import.meta.dirname, '../../node_modules'), join(folder, 'node_modules'))
    const step: World['step'] = (name, params = {}, args = []) => {
      const contract = CONTRACTS.find((item) => item.name === name)!
      const env: Record<string, string> = {
        [workspaceEnv('shared')]: volume,
        POD_NAME: 'bench',
        POD_UID: 'bench',
        POD_NAMESPACE: 'bench',
      }
      for (const [key, definition] of Object.entries(contract.params)) {
        const value = params[key] ?? defaultOf(definition, 'task')
        if (typeof value === 'string') env[paramEnv(key)] = value
      }
      return { command: [process.execPath, join(steps, `${name}.mjs`), ...args], env }
    }
    return await use({ folder, volume, step })
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}
