import { parseArgs } from 'node:util'
import { elapsed, say } from '../../cluster/base/progress.ts'
import { installPackages, type Need } from '../../cluster/binaries/packages.ts'
import { exclusively } from '../../cluster/native/lock.ts'
import { requireRoot } from '../../cluster/native/require.ts'
import { newState, readState } from '../state.ts'
import { printMounts, remove, troubles } from '../verbs.ts'
import type { CephOptions } from './config.ts'
import { startCeph } from './start.ts'

const NEEDS: readonly Need[] = [
  { pkg: 'ceph-mon', command: 'ceph-mon' },
  { pkg: 'ceph-osd', command: 'ceph-osd' },
  { pkg: 'ceph-mds', command: 'ceph-mds' },
  { pkg: 'ceph-fuse', command: 'ceph-fuse' },
  { pkg: 'ceph-common', command: 'ceph' },
]

/** Starts one monitor, one OSD, one metadata server and two clients, or says that they run. */
export async function up(args: string[]): Promise<void> {
  const { values } = parseArgs({
    args,
    options: { 'no-page-cache': { type: 'boolean' }, 'stock-tick': { type: 'boolean' } },
  })
  const options = { pageCache: !values['no-page-cache'], stockTick: values['stock-tick'] ?? false }
  requireRoot('a CephFS', 'do without it')
  await exclusively('filesystem ceph up', () => upOnce(options))
}

async function upOnce(options: CephOptions): Promise<void> {
  const start = Date.now()
  const former = await readState('ceph')
  const wrong = former && (await troubles(former))
  if (former && wrong?.length === 0) {
    say('Already up; for other options run down first')
    return printMounts(former)
  }
  if (former) {
    say(`Removing a file system that is not well: ${wrong?.join('; ')}`)
    await remove('ceph', former)
  }
  await installPackages(NEEDS, 'a CephFS', 'do without it')
  const state = await newState('ceph')
  await startCeph(state, options)
  say(`Up after ${elapsed(start)}. End it with: ./run filesystem ceph down`)
  printMounts(state)
}
