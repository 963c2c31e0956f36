/**
 * `./run image [-- --architecture amd64|arm64] [--out FILE]`: puts the step image together without a container
 * registry, as an archive that `docker load`, `ctr images import` and `kind load image-archive` take. The same
 * sources and packages give the same bytes.
 */
import { createReadStream, createWriteStream } from 'node:fs'
import { access, mkdtemp, readdir, readlink, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { parseArgs } from 'node:util'
import { createGzip } from 'node:zlib'
import { $ } from 'execa'
import {
  hostArchitecture,
  writeDockerArchive,
  writeLayer,
  type Architecture,
  type TarEntry,
} from '../hack/cluster/image.ts'
import { DEFAULTS } from '../src/catalog/settings.ts'
import { bundle } from './bundle.ts'
import { debianFor, nodeFor } from './parts.ts'
import { writeSourceTarball } from './source.ts'

const root = join(import.meta.dirname, '..')
const HOME = '/opt/shared-workspace'

const { values } = parseArgs({
  args: process.argv.slice(2).filter((arg) => arg !== '--'),
  options: { architecture: { type: 'string', default: hostArchitecture() }, out: { type: 'string' } },
})
if (values.architecture !== 'amd64' && values.architecture !== 'arm64') {
  throw new Error(`--architecture: expected amd64 or arm64, found ${values.architecture}`)
}
await buildImage(values.architecture, values.out ?? join(root, 'dist', `image-${values.architecture}.tar`))

async function buildImage(architecture: Architecture, out: string): Promise<void> {
  const work = await mkdtemp(join(tmpdir(), 'shared-workspace-image-'))
  try {
    const entries = [
      ...(await systemEntries(architecture)),
      ...(await programEntries(work)),
      ...(await addonEntries(architecture)),
      ...(await sourceEntries(work)),
    ]
    const layer = join(work, 'layer.tar')
    await writeLayer(entries, layer)
    const config = {
      cmd: ['sh'],
      env: { PATH: '/usr/local/bin:/usr/bin:/bin' },
      user: '65532:65532',
      workingDir: '/',
    }
    const id = await writeDockerArchive({ name: DEFAULTS.image, layer, config, out, architecture })
    await pipeline(createReadStream(layer), createGzip(), createWriteStream(join(work, 'layer.gz')))
    const megabytes = ((await stat(join(work, 'layer.gz'))).size / 1e6).toFixed(1)
    console.log(
      `image: ${relative(process.cwd(), out)}: ${DEFAULTS.image}, ${architecture}, ${id}, ${megabytes} MB compressed`,
    )
  } finally {
    await rm(work, { recursive: true })
  }
}

/** Node, the libraries it needs, a shell with its tools, and the few files that programs look for. */
async function systemEntries(architecture: Architecture): Promise<TarEntry[]> {
  const [node, debian] = [await nodeFor(architecture), await debianFor(architecture)]
  const libraries = await tree(
    join(debian, 'root'),
    '/',
    (path) => /\.so(\.|$)/.test(path) && !path.includes('/gconv/'),
  )
  const { stdout: applets } = await $`${join(await debianFor(hostArchitecture()), 'root/bin/busybox')} --list`
  return [
    ...libraries,
    { path: '/usr/local/bin/node', from: join(node, 'bin/node') },
    { path: '/bin/busybox', from: join(debian, 'root/bin/busybox') },
    ...applets
      .split('\n')
      .filter((name) => name !== 'busybox')
      .map((name) => ({ path: `/bin/${name}`, linkTo: '/bin/busybox' })),
    { path: '/usr/bin/env', linkTo: '/bin/busybox' },
    {
      path: '/etc/passwd',
      text: 'root:x:0:0:root:/root:/bin/sh\nnonroot:x:65532:65532:nonroot:/tmp:/bin/sh\n',
    },
    { path: '/etc/group', text: 'root:x:0:\nnonroot:x:65532:\n' },
    { path: '/etc/nsswitch.conf', text: 'hosts: files dns\n' },
    { path: '/tmp', mode: 0o1777 },
    { path: '/workspace', mode: 0o1777 },
  ]
}

async function programEntries(work: string): Promise<TarEntry[]> {
  await bundle(join(work, 'steps'))
  return tree(join(work, 'steps'), `${HOME}/steps`)
}

/** fs-ext as compiled on this machine; where there is none for the architecture, busybox's flock serves. */
async function addonEntries(architecture: Architecture): Promise<TarEntry[]> {
  const addon = join(root, 'node_modules/fs-ext')
  const binary = 'build/Release/fs_ext.node'
  const built = await access(join(addon, binary)).then(
    () => true,
    () => false,
  )
  if (!built || architecture !== hostArchitecture()) {
    console.log(`image: no fs-ext for ${architecture} here: locks go through flock(1) in this image`)
    return []
  }
  return ['package.json', 'fs-ext.js', binary].map((file) => ({
    path: `${HOME}/node_modules/fs-ext/${file}`,
    from: join(addon, file),
    mode: 0o644,
  }))
}

async function sourceEntries(work: string): Promise<TarEntry[]> {
  const from = join(work, 'source.tar.gz')
  await writeSourceTarball(from)
  return [{ path: `${HOME}/source.tar.gz`, from, mode: 0o644 }]
}

async function tree(
  from: string,
  to: string,
  keep: (path: string) => boolean = () => true,
): Promise<TarEntry[]> {
  const entries: TarEntry[] = []
  for (const entry of await readdir(from, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name)
    const target = join(to, relative(from, path))
    if (entry.isDirectory() || !keep(target)) continue
    if (entry.isSymbolicLink()) entries.push({ path: target, linkTo: await readlink(path) })
    else entries.push({ path: target, from: path, mode: (await stat(path)).mode & 0o111 ? 0o755 : 0o644 })
  }
  return entries
}
