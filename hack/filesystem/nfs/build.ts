import { access, copyFile, cp, mkdir, mkdtemp, readdir, rename, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { execa } from 'execa'
import { lastLines } from '../../cluster/base/files.ts'
import { BUILD_LOGS } from '../../cluster/base/paths.ts'
import { Problem } from '../../cluster/base/problem.ts'
import { elapsed, say, step } from '../../cluster/base/progress.ts'
import { installPackages, SYSTEM_PATH, type Need } from '../../cluster/binaries/packages.ts'
import { requireRoot } from '../../cluster/native/require.ts'
import { GUEST, imageHere, imageIn, PACKAGES, SUITE, type Image } from './image.ts'

const NEEDS: readonly Need[] = [
  { pkg: 'qemu-system-x86', command: 'qemu-system-x86_64' },
  { pkg: 'mmdebstrap', command: 'mmdebstrap' },
  { pkg: 'e2fsprogs', command: 'mke2fs' },
  { pkg: 'util-linux', command: 'setpriv' },
]

/** What the volume, jobs and all they write share; the file is sparse. */
const DISK = '4G'
const LOG = join(BUILD_LOGS, 'nfs.log')

/** Brings the machine's image into the cache, or finds it there. */
export async function build(): Promise<Image> {
  requireRoot('an NFS in a machine of its own', 'do without it')
  if (process.arch !== 'x64')
    throw new Problem('an NFS in a machine of its own needs another processor', {
      expected: 'x64',
      found: process.arch,
    })
  await installPackages(NEEDS, 'an NFS in a machine of its own', 'do without it')
  const image = imageHere()
  if (await isThere(image)) return image
  const start = Date.now()
  say(`Building a machine with an NFS server into ${image.folder}, once: about a minute.`)
  await mkdir(BUILD_LOGS, { recursive: true })
  await rm(LOG, { force: true })
  const part = await mkdtemp(`${image.folder}.part.`)
  try {
    await buildIn(imageIn(part))
    // Another one may have been quicker: its image serves both.
    await rename(part, image.folder).catch(async (error: unknown) => {
      if (!(await isThere(image))) throw error
    })
  } finally {
    await rm(part, { recursive: true, force: true })
  }
  say(`Built after ${elapsed(start)}`)
  return image
}

const isThere = ({ folder }: Image): Promise<boolean> =>
  access(folder).then(
    () => true,
    () => false,
  )

async function buildIn(image: Image): Promise<void> {
  const root = join(image.folder, 'root')
  await step('Debian packages', 'unpacking', () => unpackPackages(root))
  const [version = ''] = await readdir(join(root, 'lib/modules'))
  say(`  Linux ${version}, Node ${process.versions.node}`)
  await copyFile(join(root, 'boot', `vmlinuz-${version}`), image.kernel)
  await furnish(root, version)
  await writeInitrd(root, version, image.initrd)
  await step('root file system', 'writing', () => writeRoot(root, image.root))
  await rm(root, { recursive: true })
}

/** Unpacks without running what packages run when they are installed: the machine needs none of it. */
async function unpackPackages(root: string): Promise<void> {
  await run('mmdebstrap', [
    '--variant=extract',
    '--architectures=amd64',
    '--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr',
    `--include=${PACKAGES.join(',')}`,
    SUITE,
    root,
  ])
}

async function furnish(root: string, version: string): Promise<void> {
  for (const folder of ['boot', 'usr/share/doc', 'usr/share/man', 'usr/share/locale'])
    await rm(join(root, folder), { recursive: true })
  for (const folder of ['mnt/a', 'mnt/b', 'srv/shared', 'job'])
    await mkdir(join(root, folder), { recursive: true })
  // Steps run as any user.
  await run('chmod', ['2777', join(root, 'srv/shared')])
  await writeFile(join(root, 'etc/passwd'), 'root:x:0:0::/root:/bin/bash\n')
  await writeFile(join(root, 'etc/group'), 'root:x:0:\n')
  await cp(GUEST, join(root, 'usr/local/bin'), { recursive: true })
  await copyFile(process.execPath, join(root, 'usr/local/bin/node'))
  await run('chroot', [root, 'node', '--version'])
  await run('chroot', [root, 'depmod', version])
}

/** Debian's kernel has drivers of virtio drives in modules only. */
async function writeInitrd(root: string, version: string, initrd: string): Promise<void> {
  const wanted = ['virtio_pci', 'virtio_blk']
  const list = await run('chroot', [root, 'modprobe', '-S', version, '--show-depends', '-a', ...wanted])
  // Lines such as `insmod /lib/…/virtio.ko`, in the order of what they need.
  const loads = [...new Set(list.split('\n').map((line) => line.trim()))]
  const init = [
    '#!/bin/busybox sh',
    ...loads.map((load) => `busybox ${load}`),
    'busybox mount -t devtmpfs dev /dev',
    'while [ ! -e /dev/vda ]; do busybox sleep 0.1; done',
    'busybox mount -t ext4 /dev/vda /root',
    'busybox mount --move /dev /root/dev',
    'exec busybox switch_root /root /usr/local/bin/start',
    '',
  ]
  const tree = join(root, 'initrd')
  for (const folder of ['bin', 'dev', 'root']) await mkdir(join(tree, folder), { recursive: true })
  for (const file of ['/bin/busybox', ...loads.map((load) => load.split(' ')[1]!)]) {
    await mkdir(dirname(join(tree, file)), { recursive: true })
    await copyFile(join(root, file), join(tree, file))
  }
  await writeFile(join(tree, 'init'), init.join('\n'), { mode: 0o755 })
  const pack = 'cd /initrd && busybox find . | busybox cpio -o -H newc > /initrd.cpio'
  await run('chroot', [root, 'busybox', 'sh', '-c', pack])
  await rename(join(root, 'initrd.cpio'), initrd)
  await rm(tree, { recursive: true })
}

async function writeRoot(root: string, file: string): Promise<void> {
  await run('mke2fs', ['-q', '-t', 'ext4', '-m', '0', '-d', root, file, DISK])
}

/** Runs a program and gives what it wrote to stdout, without the newline at the end. */
async function run(program: string, args: string[]): Promise<string> {
  const result = await execa(program, args, {
    env: { PATH: SYSTEM_PATH },
    stdin: 'ignore',
    stderr: { file: LOG, append: true },
    reject: false,
  })
  if (!result.failed) return result.stdout
  throw new Problem(`${program} ${args.join(' ')} failed\n${await lastLines(LOG)}`, {
    found: result.shortMessage ?? '',
    fix: 'where a package could not be fetched, check the network, then run build again',
    log: LOG,
  })
}
