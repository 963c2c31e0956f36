import { randomUUID } from 'node:crypto'
import { chmod, mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { execa } from 'execa'
import { writeWhole } from '../../cluster/base/files.ts'
import { Problem } from '../../cluster/base/problem.ts'
import { waitFor } from '../../cluster/base/wait.ts'
import { SYSTEM_PATH } from '../../cluster/binaries/packages.ts'
import { endedEarly, isAlive, startDaemon } from '../../cluster/native/processes.ts'
import { writeState, type FileSystemState } from '../state.ts'
import { isMounted } from '../mounts.ts'
import { cephConfig, CONFIG, MONITOR, type CephOptions } from './config.ts'

/** How long a client that is gone blocks the others, seconds. Ceph knows no less. */
const SESSION_TIMEOUT = '30'

/** Starts the daemons one after the other, each as soon as the one before serves, then mounts. */
export async function startCeph(state: FileSystemState, options: CephOptions): Promise<void> {
  const id = randomUUID()
  await writeWhole(CONFIG, cephConfig(id, state.data, options))
  await startMonitor(state, id)
  await startStorage(state)
  await startMetadata(state)
  for (const [index, folder] of state.mounts.entries()) await mount(state, `client.${index}`, folder)
  // Steps run as any user.
  await chmod(state.mounts[0]!, 0o2777)
  await writeState('ceph', { ...state, complete: true })
}

async function startMonitor(state: FileSystemState, id: string): Promise<void> {
  const map = join(state.data, 'monmap')
  await run('monmaptool', '--create', '--fsid', id, '--addv', 'a', `[${MONITOR}]`, map)
  await mkdir(join(state.data, 'mon.a'))
  await run('ceph-mon', '--conf', CONFIG, '--mkfs', '--id', 'a', '--monmap', map)
  await daemon(state, 'mon.a', ['ceph-mon', '--conf', CONFIG, '--id', 'a', '--foreground'])
  // It waits for a quorum by itself.
  await ceph('mon', 'stat')
}

async function startStorage(state: FileSystemState): Promise<void> {
  const id = randomUUID()
  await ceph('osd', 'new', id)
  await mkdir(join(state.data, 'osd.0'))
  const command = ['--conf', CONFIG, '--id', '0']
  await run('ceph-osd', ...command, '--mkfs', '--osd-uuid', id, '--no-mon-config')
  await daemon(state, 'osd.0', ['ceph-osd', ...command, '--foreground'])
  await until(state, async () => (await ceph('osd', 'stat')).includes('1 up'))
}

async function startMetadata(state: FileSystemState): Promise<void> {
  for (const pool of ['meta', 'data']) await ceph('osd', 'pool', 'create', pool, '8')
  await ceph('fs', 'new', 'shared', 'meta', 'data')
  for (const setting of ['session_timeout', 'session_autoclose'])
    await ceph('fs', 'set', 'shared', setting, SESSION_TIMEOUT)
  await mkdir(join(state.data, 'mds.a'))
  await daemon(state, 'mds.a', ['ceph-mds', '--conf', CONFIG, '--id', 'a', '--foreground'])
  await until(state, async () => (await ceph('mds', 'stat')).includes('up:active'))
}

async function mount(state: FileSystemState, name: string, folder: string): Promise<void> {
  await daemon(state, name, ['ceph-fuse', '--conf', CONFIG, '--name', name, '--foreground', folder])
  await until(state, async () => isMounted(folder))
}

/** Starts a daemon and writes it down. */
async function daemon(state: FileSystemState, name: string, command: string[]): Promise<void> {
  state.processes.push(await startDaemon(name, command, join(state.data, `${name}.out`)))
  await writeState('ceph', state)
}

/** Waits for a sign that the daemon which was started last serves. */
async function until(state: FileSystemState, serves: () => Promise<boolean>): Promise<void> {
  const record = state.processes.at(-1)!
  const check = async (): Promise<boolean> => {
    if (!(await isAlive(record))) throw await endedEarly(record)
    return await serves()
  }
  await waitFor(check, { what: record.name, timeoutMs: 60_000, log: record.log })
}

const ceph = (...args: string[]): Promise<string> =>
  run('ceph', '--conf', CONFIG, '--connect-timeout', '60', ...args)

async function run(program: string, ...args: string[]): Promise<string> {
  const result = await execa(program, args, { env: { PATH: SYSTEM_PATH }, all: true, reject: false })
  if (!result.failed) return result.all
  throw new Problem(`${program} ${args.join(' ')} failed`, {
    found: result.all ?? result.shortMessage,
    fix: 'run down, then up again',
  })
}
