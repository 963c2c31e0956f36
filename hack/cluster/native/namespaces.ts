import { mkdir, readlink } from 'node:fs/promises'
import { join } from 'node:path'
import { execa } from 'execa'
import { LOGS } from '../base/paths.ts'
import { waitFor } from '../base/wait.ts'
import { binary } from '../binaries/components.ts'
import { SYSTEM_PATH } from '../binaries/packages.ts'
import { PRIVATE_FOLDERS, type NodePlan } from './layout.ts'
import { firstChild, recordOf, startDaemon, type ProcessRecord } from './processes.ts'
import type { NodeRecord } from './state.ts'

/**
 * Starts a node's first process in mount, network, process and host name namespaces of its own. They are the
 * node: when that process is killed, the kernel ends everything else in them and drops their mounts, links and
 * packet filter rules, so nothing has to be cleaned up by hand.
 */
export async function startNamespaces(node: NodePlan): Promise<{ node: NodeRecord; outer: ProcessRecord }> {
  const log = join(LOGS, `${node.name}-init.log`)
  const kinds = ['--mount', '--net', '--uts', '--pid', '--fork', '--kill-child', '--mount-proc']
  const command = ['unshare', ...kinds, '--propagation', 'private', '--', binary('pause')]
  const outer = await startDaemon(`${node.name} namespaces`, command, log)
  let child: number | undefined
  await waitFor(async () => (child = await firstChild(outer.pid)) !== undefined, {
    what: `${node.name}'s first process`,
    timeoutMs: 5000,
    everyMs: 20,
    log,
  })
  const init = await recordOf(`${node.name} init`, child ?? 0, log)
  return { outer, node: { name: node.name, init, namespaces: await namespacesOf(init.pid) } }
}

/** The command line that runs a command inside a node. */
export function inNode(init: ProcessRecord, command: readonly string[]): string[] {
  return ['nsenter', '--target', String(init.pid), '--mount', '--net', '--uts', '--pid', '--', ...command]
}

/** Runs a command inside a node and returns what it says. */
export async function runInNode(
  init: ProcessRecord,
  command: readonly string[],
  inputFile?: string,
): Promise<string> {
  const [program = '', ...args] = inNode(init, command)
  const env = { PATH: SYSTEM_PATH }
  const { stdout } = await execa(program, args, { env, ...(inputFile && { inputFile }) })
  return stdout
}

/** Gives a node its own /run and state folders, over the machine's, and what a router needs. */
export async function prepareNode(node: NodePlan, init: ProcessRecord): Promise<void> {
  const binds = PRIVATE_FOLDERS.map((folder) => [privateFolder(node, folder), folder] as const)
  for (const [own] of binds) await mkdir(own, { recursive: true })
  const script = [
    // Shared inside the node alone: volumes with mountPropagation need that.
    'mount --make-rshared /',
    'mount -t tmpfs -o mode=755,size=64m tmpfs /run',
    ...binds.map(([own, folder]) => `mount --bind "${own}" ${folder}`),
    `hostname ${node.name}`,
    'echo 1 >/proc/sys/net/ipv4/ip_forward',
  ]
  await runInNode(init, ['sh', '-ec', script.join('\n')])
}

function privateFolder(node: NodePlan, folder: string): string {
  return join(node.folder, folder.slice(1).replaceAll('/', '-'))
}

async function namespacesOf(pid: number): Promise<NodeRecord['namespaces']> {
  const [mnt, net, pidSpace] = await Promise.all(
    ['mnt', 'net', 'pid'].map((kind) => readlink(`/proc/${pid}/ns/${kind}`)),
  )
  return { mnt: mnt ?? '', net: net ?? '', pid: pidSpace ?? '' }
}
