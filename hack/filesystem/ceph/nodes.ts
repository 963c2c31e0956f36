import { join } from 'node:path'
import { say } from '../../cluster/base/progress.ts'
import { Problem } from '../../cluster/base/problem.ts'
import { waitFor } from '../../cluster/base/wait.ts'
import { exclusively } from '../../cluster/native/lock.ts'
import { runInNode } from '../../cluster/native/namespaces.ts'
import {
  endedEarly,
  firstChild,
  isAlive,
  recordOf,
  startDaemon,
  type ProcessRecord,
} from '../../cluster/native/processes.ts'
import { requireCluster, requireRoot } from '../../cluster/native/require.ts'
import type { NodeRecord } from '../../cluster/native/state.ts'
import { isMountedIn, nodeFolder, unmountIn } from '../nodes.ts'
import { readState, writeState, type FileSystemState } from '../state.ts'
import { troubles } from '../verbs.ts'
import { CONFIG } from './config.ts'

const FOLDER = nodeFolder('ceph')

/** Mounts the CephFS on each node of the native cluster that does not have it, and prints where. */
export async function nodes(): Promise<void> {
  requireRoot('a CephFS', 'do without it')
  await exclusively('filesystem ceph nodes', async () => {
    const state = await requireCeph()
    for (const node of (await requireCluster()).nodes) await mountOn(node, state)
  })
  process.stdout.write(`${FOLDER}\n`)
}

async function requireCeph(): Promise<FileSystemState> {
  const state = await readState('ceph')
  if (!state) throw new Problem('no CephFS of ours runs here', { fix: 'run: ./run filesystem ceph up' })
  const wrong = await troubles(state)
  if (wrong.length === 0) return state
  throw new Problem('the CephFS is not well', { found: wrong.join('; '), fix: 'run down, then up' })
}

async function mountOn({ name: node, init }: NodeRecord, state: FileSystemState): Promise<void> {
  const name = `client.${node}`
  const former = state.nodeClients?.find((client) => client.name === name)
  if (former && (await isAlive(former)) && (await isMountedIn(init, FOLDER)))
    return say(`${node} has it already`)
  await unmountIn(init, FOLDER)
  await prepareFolder(init)
  const client = await startClient(init, name, state.data)
  state.nodeClients = [...(state.nodeClients ?? []).filter((other) => other.name !== name), client]
  await writeState('ceph', state)
  const mounted = async (): Promise<boolean> => {
    if (!(await isAlive(client))) throw await endedEarly(client)
    return await isMountedIn(init, FOLDER)
  }
  await waitFor(mounted, { what: `the mount on ${node}`, timeoutMs: 60_000, log: client.log })
  say(`${node} has it by the client ${client.pid}`)
}

/** Makes the mount's folder and, beside it, the configuration: a node has a /run of its own. */
async function prepareFolder(init: ProcessRecord): Promise<void> {
  // For pods that came while it was not mounted, the kubelet has made folders where it should be.
  const script = `rm -rf --one-file-system "${FOLDER}"; mkdir -p "${FOLDER}"; cat >"${CONFIG}"`
  await runInNode(init, ['sh', '-ec', script], CONFIG)
}

/**
 * Starts a client that sees the node's folders and ends with the node, but stays in the machine's network: the
 * servers listen on loopback.
 * @returns the client itself, which may be killed
 */
async function startClient(init: ProcessRecord, name: string, data: string): Promise<ProcessRecord> {
  const log = join(data, `${name}.out`)
  const enter = ['nsenter', '--target', String(init.pid), '--mount', '--pid', '--']
  const command = ['ceph-fuse', '--conf', CONFIG, '--name', name, '--foreground', FOLDER]
  // nsenter forks, since only a child is in the other process namespace.
  const outer = await startDaemon(name, [...enter, ...command], log)
  let child: number | undefined
  await waitFor(async () => (child = await firstChild(outer.pid)) !== undefined, {
    what: name,
    timeoutMs: 10_000,
    everyMs: 20,
    log,
  })
  return await recordOf(name, child ?? 0, log)
}
