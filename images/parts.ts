/** What the image is made of, by package name: Node from npm, libraries and a shell from Debian. */
import { access, mkdir, readdir, rename, rm } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { $, execa } from 'execa'
import type { Architecture } from '../hack/cluster/image.ts'

export const NODE_VERSION = '24.21.0'
const PACKAGES = ['libc6', 'libgcc-s1', 'libstdc++6', 'busybox-static']
const CACHE = join(process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'tekton-shared-workspace')

/** The folder of Node for `architecture`, from the npm package. */
export async function nodeFor(architecture: Architecture): Promise<string> {
  const name = `node-linux-${architecture === 'amd64' ? 'x64' : 'arm64'}`
  return once(`${name}-${NODE_VERSION}`, async (folder) => {
    await execa('npm', ['pack', '--silent', `${name}@${NODE_VERSION}`], { cwd: folder })
    await $({
      cwd: folder,
    })`tar -xzf ${(await readdir(folder)).find((file) => file.endsWith('.tgz'))!} --strip-components 1`
  })
}

/**
 * The files of the Debian packages for `architecture`, unpacked. Another architecture's package lists are kept
 * apart from the machine's own.
 */
export async function debianFor(architecture: Architecture): Promise<string> {
  return once(`debian-${architecture}`, async (folder) => {
    const lists = join(folder, 'lists')
    await mkdir(join(lists, 'partial'), { recursive: true })
    const options = [
      `APT::Architecture=${architecture}`,
      `APT::Architectures=${architecture}`,
      `Dir::State::lists=${lists}`,
    ]
    const apt = (...args: string[]) =>
      execa('apt-get', [...options.flatMap((option) => ['-o', option]), ...args], { cwd: folder })
    await apt('update')
    await apt('download', ...PACKAGES)
    for (const file of (await readdir(folder)).filter((name) => name.endsWith('.deb'))) {
      await $({ cwd: folder })`dpkg-deb -x ${file} root`
    }
    await rm(lists, { recursive: true })
  })
}

/** A folder of the cache that `fill` fills the first time, whole or not at all. */
async function once(key: string, fill: (folder: string) => Promise<void>): Promise<string> {
  const folder = join(CACHE, 'image', key)
  if (
    await access(folder).then(
      () => true,
      () => false,
    )
  )
    return folder
  const part = `${folder}.${process.pid}.part`
  console.log(`image: bringing ${key}`)
  await mkdir(part, { recursive: true })
  try {
    await fill(part)
    await rename(part, folder)
  } finally {
    await rm(part, { recursive: true, force: true })
  }
  return folder
}
