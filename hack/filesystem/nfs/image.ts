import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { CACHE } from '../../cluster/base/paths.ts'

/** What the machine is made of. Debian 12's kernel and NFS tools; a mirror gives the newest of their fixes. */
export const SUITE = 'bookworm'
export const PACKAGES: readonly string[] = [
  'linux-image-cloud-amd64',
  'nfs-kernel-server',
  'nfs-common',
  'iproute2',
  'kmod',
  'mount',
  'util-linux',
  'busybox-static',
  // What scripts count on everywhere.
  'bash',
  'coreutils',
  'dash',
  'findutils',
  'grep',
  'hostname',
  'procps',
  'sed',
  'tar',
  // What Node's own binary is linked to.
  'libstdc++6',
]

/** The scripts of the machine: `start` is its first process, the others are for jobs. */
export const GUEST = join(import.meta.dirname, 'guest')

/** A root file system that no run changes, and what boots it. */
export interface Image {
  folder: string
  kernel: string
  /** Finds the root's drive. */
  initrd: string
  root: string
}

/** Where the image is kept, there or not: one for each Node, and for each text of what makes it. */
export function imageHere(): Image {
  const hash = createHash('sha256')
  const scripts = readdirSync(GUEST)
    .sort()
    .map((name) => join(GUEST, name))
  const makers = ['image.ts', 'build.ts'].map((name) => join(import.meta.dirname, name))
  for (const file of [...scripts, ...makers]) hash.update(readFileSync(file))
  const revision = hash.digest('hex').slice(0, 8)
  return imageIn(join(CACHE, `nfs-${SUITE}-node-${process.versions.node}-${revision}`))
}

export const imageIn = (folder: string): Image => ({
  folder,
  kernel: join(folder, 'vmlinuz'),
  initrd: join(folder, 'initrd'),
  root: join(folder, 'root.ext4'),
})
