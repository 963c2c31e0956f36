import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { pipeline } from 'node:stream/promises'
import { writeLayer } from './images/layer.ts'
import { writeTar, type TarEntry } from './images/tar.ts'

export { writeLayer, type TarEntry }

export interface ImageConfig {
  entrypoint?: readonly string[]
  cmd?: readonly string[]
  env?: Readonly<Record<string, string>>
  /** `uid`, `uid:gid` or a name. Numbers let Kubernetes see that it is not root. */
  user?: string
  workingDir?: string
  labels?: Readonly<Record<string, string>>
}

/** As the OCI image specification names them, which is as Go does. */
export type Architecture = 'amd64' | 'arm64'

export interface DockerArchiveOptions {
  /** The full reference with its tag, such as `registry.local/shell:1`. */
  name: string
  /** The path of the one layer: a tar file, not compressed. `writeLayer` makes one. */
  layer: string
  config?: ImageConfig
  /** Where the archive is written, whole or not at all. */
  out: string
  /** Default: this machine's. */
  architecture?: Architecture
  /** Default: 1970, so that the same layer and config give the same bytes. */
  created?: Date
}

/**
 * Writes an image of one layer as a docker archive, the form that `docker load`, `ctr images import` and
 * `kind load image-archive` take. The same input gives the same bytes.
 *
 * @returns the image's id: the digest of its config, as `sha256:<hex>`.
 */
export async function writeDockerArchive(options: DockerArchiveOptions): Promise<string> {
  const diffId = await sha256OfFile(options.layer)
  const config = JSON.stringify(configOf(options, diffId))
  const id = createHash('sha256').update(config).digest('hex')
  const manifest = [{ Config: `${id}.json`, RepoTags: [options.name], Layers: [`${diffId}/layer.tar`] }]
  const entries: TarEntry[] = [
    { path: `${id}.json`, text: config },
    { path: `${diffId}/layer.tar`, from: options.layer, mode: 0o644 },
    { path: 'manifest.json', text: JSON.stringify(manifest) },
  ]
  await writeTar(entries, options.out)
  return `sha256:${id}`
}

/** This machine's architecture by the name that images use. */
export function hostArchitecture(): Architecture {
  if (process.arch === 'x64') return 'amd64'
  if (process.arch === 'arm64') return 'arm64'
  throw new Error(`expected an x64 or arm64 machine, found ${process.arch}: no image is built for it`)
}

function configOf({ config = {}, architecture, created }: DockerArchiveOptions, diffId: string) {
  const time = (created ?? new Date(0)).toISOString()
  return {
    architecture: architecture ?? hostArchitecture(),
    os: 'linux',
    created: time,
    config: {
      ...(config.entrypoint && { Entrypoint: config.entrypoint }),
      ...(config.cmd && { Cmd: config.cmd }),
      ...(config.env && { Env: pairs(config.env).map(([name, value]) => `${name}=${value}`) }),
      ...(config.user && { User: config.user }),
      ...(config.workingDir && { WorkingDir: config.workingDir }),
      ...(config.labels && { Labels: Object.fromEntries(pairs(config.labels)) }),
    },
    rootfs: { type: 'layers', diff_ids: [`sha256:${diffId}`] },
    history: [{ created: time }],
  }
}

/** Sorted, since the order in which a caller happened to write them must not change the image. */
function pairs(record: Readonly<Record<string, string>>): [string, string][] {
  return Object.entries(record).sort(([a], [b]) => (a < b ? -1 : 1))
}

async function sha256OfFile(path: string): Promise<string> {
  const hash = createHash('sha256')
  await pipeline(createReadStream(path), hash)
  return hash.digest('hex')
}
