import { access, constants, mkdir } from 'node:fs/promises'
import { delimiter, join } from 'node:path'
import { execa } from 'execa'
import { lastLines, readIfThere } from '../base/files.ts'
import { BUILD_LOGS } from '../base/paths.ts'
import { Problem } from '../base/problem.ts'
import { say, step } from '../base/progress.ts'

/** A Debian package and what shows that it is there: a command on the PATH or a file. */
export interface Need {
  pkg: string
  command?: string
  file?: string
}

export const CLUSTER_NEEDS: readonly Need[] = [
  { pkg: 'containerd', command: 'containerd' },
  { pkg: 'runc', command: 'runc' },
  { pkg: 'containernetworking-plugins', file: '/usr/lib/cni/bridge' },
  { pkg: 'iptables', command: 'iptables' },
  { pkg: 'conntrack', command: 'conntrack' },
  { pkg: 'iproute2', command: 'ip' },
  { pkg: 'util-linux', command: 'nsenter' },
  { pkg: 'mount', command: 'mount' },
  { pkg: 'openssl', command: 'openssl' },
  { pkg: 'busybox-static', file: '/bin/busybox' },
  { pkg: 'tini', file: '/usr/bin/tini-static' },
]

/** Root's programs are not always on the PATH of the one who calls. */
export const SYSTEM_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

/** Installs what is missing of Debian's packages for `purpose`, or says what is and what can be done `instead`. */
export async function installPackages(
  needs: readonly Need[],
  purpose: string,
  instead: string,
): Promise<void> {
  const missing = await missingPackages(needs)
  if (missing.length === 0) return
  const isDebian = (await readIfThere('/etc/debian_version')) !== undefined
  if (!isDebian || process.getuid?.() !== 0) {
    throw new Problem(`programs that ${purpose} needs are missing`, {
      expected: `what the Debian packages ${needs.map((need) => need.pkg).join(', ')} bring`,
      found: `${missing.join(', ')} missing, ${isDebian ? 'not run as root' : 'not a Debian-like system'}`,
      fix: isDebian
        ? `run: sudo apt-get install --no-install-recommends ${missing.join(' ')}`
        : `install them by hand, or ${instead}`,
    })
  }
  say(`Installing Debian packages that are missing: ${missing.join(' ')}`)
  await aptInstall(missing)
}

async function aptInstall(packages: string[]): Promise<void> {
  const log = join(BUILD_LOGS, 'apt-get.log')
  await mkdir(BUILD_LOGS, { recursive: true })
  const apt = (args: string[]) =>
    execa('apt-get', args, {
      env: { DEBIAN_FRONTEND: 'noninteractive' },
      stdio: ['ignore', { file: log }, { file: log }],
      reject: false,
    })
  const install = ['install', '--yes', '--no-install-recommends', ...packages]
  await step('packages', 'installing', async () => {
    // The lists may be old or absent: fetch them only when a first try shows that.
    if (!(await apt(install)).failed) return
    await apt(['update'])
    if (!(await apt(install)).failed) return
    throw new Problem(`apt-get could not install ${packages.join(' ')}\n${await lastLines(log)}`, {
      fix: 'install them by hand, then run this again',
      log,
    })
  })
}

async function missingPackages(needs: readonly Need[]): Promise<string[]> {
  const missing: string[] = []
  for (const { pkg, command, file } of needs) {
    const places = file ? [file] : SYSTEM_PATH.split(delimiter).map((folder) => join(folder, command ?? ''))
    const found = await Promise.all(places.map(isExecutable))
    if (!found.includes(true)) missing.push(pkg)
  }
  return missing
}

async function isExecutable(path: string): Promise<boolean> {
  return access(path, constants.X_OK).then(
    () => true,
    () => false,
  )
}
