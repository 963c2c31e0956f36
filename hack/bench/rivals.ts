/** What people use today, as shell commands on paths without special characters. */
import { spawnSync } from 'node:child_process'
import { mkdir } from 'node:fs/promises'
import type { Command, Other } from './pair.ts'
import type { World } from './world.ts'

const sh = (script: string): Command => ({ command: ['sh', '-c', script] })

/** A command that writes to a name that nothing had before. */
function making(script: (to: string) => string, world: World): Command {
  const makes = world.fresh()
  return { ...sh(script(makes)), makes }
}

/** Whether the rivals that need the zstd command can take part. */
export function hasZstd(): boolean {
  if (!spawnSync('zstd', ['--version']).error) return true
  console.error('bench: there is no zstd here: skipped what is compared with it (apt install zstd brings it)')
  return false
}

/** tar and zstd at its fastest, with one checksum: as fast as storing can practically be. */
export const packing = (tree: string, world: World): Other => ({
  name: 'tar | zstd -1 | sha256sum',
  run: async () => making((to) => `tar -C ${tree} -cf - . | zstd -q -1 -c | tee ${to} | sha256sum`, world),
})

export async function unpacking(tree: string, world: World): Promise<Other> {
  const packed = world.fresh()
  const { command } = sh(`tar -C ${tree} -cf - . | zstd -q -1 -o ${packed}`)
  spawnSync(command[0]!, command.slice(1))
  return {
    name: 'zstd -d | tar x',
    run: async () => {
      const target = world.fresh()
      await mkdir(target)
      return sh(`zstd -q -d -c ${packed} | tar -C ${target} -xf -`)
    },
  }
}

export const copying = (tree: string, world: World): Other => ({
  name: 'cp -a',
  run: async () => making((to) => `cp -a ${tree} ${to}`, world),
})

export const plainTar = (tree: string, world: World): Other => ({
  name: 'tar',
  run: async () => making((to) => `tar -C ${tree} -cf ${to} .`, world),
})

export const gzipTar = (tree: string, world: World): Other => ({
  name: 'tar cz',
  run: async () => making((to) => `tar -C ${tree} -czf ${to} .`, world),
})

export const copyAndHash = (file: string, world: World): Other => ({
  name: 'cp, sha256sum beside it',
  run: async () => making((to) => `cp ${file} ${to} & sha256sum ${file}; wait`, world),
})

/** From this machine's disk over one mount, and back by the other. */
export const packedAcross = (tree: string, world: World): Other => ({
  name: 'tar | zstd -1 the same way',
  run: async () => {
    const [there, back] = [world.fresh(), world.fresh(world.local)]
    await mkdir(back)
    return sh(
      `tar -C ${tree} -cf - . | zstd -q -1 -o ${there} && zstd -q -d -c ${throughSecond(there, world)} | tar -C ${back} -xf -`,
    )
  },
})

export const copiedAcross = (tree: string, world: World): Other => ({
  name: 'cp -a the same way',
  run: async () => {
    const [there, back] = [world.fresh(), world.fresh(world.local)]
    return sh(`cp -a ${tree} ${there} && cp -a ${throughSecond(there, world)} ${back}`)
  },
})

export const throughSecond = (path: string, { folder, second }: World): string =>
  path.replace(folder, second ?? folder)

/** Several steps, one after the other, as one command. */
export function inTurn(...steps: Command[]): Command {
  const quote = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`
  const lines = steps.map(({ command, env = {} }) =>
    ['env', ...Object.entries(env).map(([key, value]) => `${key}=${value}`), ...command].map(quote).join(' '),
  )
  return sh(lines.join(' && '))
}
