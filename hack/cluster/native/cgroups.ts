import { mkdir, readdir, readFile, rmdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { isMissing, readIfThere } from '../base/files.ts'
import { CGROUP } from './layout.ts'

/** Makes a cgroup in every hierarchy, as the kubelet expects of its root. */
export async function makeCgroup(path: string): Promise<void> {
  for (const mount of await hierarchies()) {
    for (const folder of [dirname(path), path]) {
      const group = join(mount, folder)
      await mkdir(group, { recursive: true })
      await inherit(dirname(group), group)
    }
  }
}

/** Removes the cluster's cgroups. Returns those that hold processes or can't be removed. */
export async function removeCgroups(): Promise<string[]> {
  const left: string[] = []
  // Version 2 may be mounted beside version 1, and runc makes groups there too.
  const mounts = [...(await mountsOf('cgroup')), ...(await mountsOf('cgroup2'))]
  for (const mount of mounts) left.push(...(await removeTree(join(mount, CGROUP))))
  return left
}

/** Where cgroups are mounted: one place with version 2, one per controller with version 1. */
async function hierarchies(): Promise<string[]> {
  const v1 = await mountsOf('cgroup')
  return v1.length > 0 ? v1 : await mountsOf('cgroup2')
}

async function mountsOf(type: 'cgroup' | 'cgroup2'): Promise<string[]> {
  const mounts = (await readFile('/proc/self/mounts', 'utf8')).split('\n').map((line) => line.split(' '))
  return mounts.filter((fields) => fields[2] === type).map((fields) => fields[1] ?? '')
}

/** A new group has no processors to run on (version 1) or no controllers (version 2) until it is given some. */
async function inherit(parent: string, group: string): Promise<void> {
  for (const file of ['cpuset.cpus', 'cpuset.mems']) {
    const [above, own] = await Promise.all([parent, group].map((folder) => readIfThere(join(folder, file))))
    if (above?.trim() && own?.trim() === '') await writeFile(join(group, file), above)
  }
  const controllers = await readIfThere(join(parent, 'cgroup.controllers'))
  for (const controller of controllers?.trim().split(' ').filter(Boolean) ?? [])
    await writeFile(join(parent, 'cgroup.subtree_control'), `+${controller}`).catch(() => undefined)
}

async function removeTree(folder: string): Promise<string[]> {
  try {
    const left: string[] = []
    for (const entry of await readdir(folder, { withFileTypes: true }))
      if (entry.isDirectory()) left.push(...(await removeTree(join(folder, entry.name))))
    await rmdir(folder)
    return left
  } catch (error) {
    return isMissing(error) ? [] : [folder]
  }
}
