import { rm, stat } from 'node:fs/promises'
import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { execa } from 'execa'
import { CACHE } from '../base/paths.ts'
import { TEKTON } from '../base/versions.ts'
import { binary, TEKTON_COMMANDS } from '../binaries/components.ts'
import { writeDockerArchive, writeLayer, type ImageConfig, type TarEntry } from '../image.ts'

export const PAUSE_IMAGE = 'registry.local/pause:1'
/** A static busybox with all its commands. Runs as 65532 unless told otherwise. */
export const SHELL_IMAGE = 'registry.local/shell:1'

export function tektonImage(command: string): string {
  return `registry.local/tekton-${command}:v${TEKTON}`
}

interface ClusterImage {
  name: string
  config: ImageConfig
  entries: () => Promise<TarEntry[]>
}

/** What Tekton's images and distroless ones run as; a number, so that Kubernetes sees that it isn't root. */
const NONROOT = '65532:65532'

const CLUSTER_IMAGES: readonly ClusterImage[] = [
  {
    name: PAUSE_IMAGE,
    config: { entrypoint: ['/pause'], user: NONROOT },
    entries: async () => [{ path: '/pause', from: binary('pause') }],
  },
  { name: SHELL_IMAGE, config: { cmd: ['sh'], user: NONROOT, env: { PATH: '/bin' } }, entries: shellEntries },
  ...TEKTON_COMMANDS.map((command) => ({
    name: tektonImage(command),
    config: { entrypoint: [`/ko-app/${command}`], user: NONROOT },
    entries: () => tektonEntries(command),
  })),
]

/** Tekton calls its commands at /ko-app, and the resolvers through tini. */
async function tektonEntries(command: string): Promise<TarEntry[]> {
  const own = { path: `/ko-app/${command}`, from: binary(command) }
  const folders = [{ path: '/tmp', mode: 0o1777 }, { path: '/etc/ssl/certs' }]
  const tini = command === 'resolvers' ? [{ path: '/sbin/tini', from: '/usr/bin/tini-static' }] : []
  return [own, ...folders, ...tini]
}

async function shellEntries(): Promise<TarEntry[]> {
  const { stdout } = await execa('/bin/busybox', ['--list'])
  const commands = stdout.split('\n').filter((name) => name !== 'busybox')
  return [
    { path: '/bin/busybox', from: '/bin/busybox' },
    ...commands.map((name) => ({ path: `/bin/${name}`, linkTo: 'busybox' })),
    { path: '/usr/bin/env', linkTo: '../../bin/busybox' },
    { path: '/tmp', mode: 0o1777 },
    { path: '/home/nonroot', mode: 0o755, uid: 65532, gid: 65532 },
    {
      path: '/etc/passwd',
      text: 'root:x:0:0:root:/:/bin/sh\nnonroot:x:65532:65532::/home/nonroot:/bin/sh\n',
    },
    { path: '/etc/group', text: 'root:x:0:\nnonroot:x:65532:\n' },
  ]
}

/** Writes the archives that are not in the cache yet. Returns the paths of all. */
export async function buildClusterImages(): Promise<string[]> {
  return await Promise.all(CLUSTER_IMAGES.map(buildImage))
}

async function buildImage(image: ClusterImage): Promise<string> {
  const entries = await image.entries()
  const out = join(
    CACHE,
    'images',
    `${image.name.replaceAll(/[/:]/g, '_')}-${await keyOf(image, entries)}.tar`,
  )
  if (await exists(out)) return out
  const layer = `${out}.${process.pid}.layer`
  try {
    await writeLayer(entries, layer)
    await writeDockerArchive({ name: image.name, layer, config: image.config, out })
  } finally {
    await rm(layer, { force: true })
  }
  return out
}

/** Changes with the recipe and with the files that it copies, told by size and time. */
async function keyOf(image: ClusterImage, entries: readonly TarEntry[]): Promise<string> {
  const hash = createHash('sha256').update(JSON.stringify([image.name, image.config, entries]))
  for (const { from } of entries) {
    if (from === undefined) continue
    const { size, mtimeMs } = await stat(from)
    hash.update(`${size} ${mtimeMs} `)
  }
  return hash.digest('hex').slice(0, 12)
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  )
}
