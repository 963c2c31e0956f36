/** A file system on the nodes of the native cluster, by a client in each, as the nodes of a real cluster have it. */
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Problem } from '../cluster/base/problem.ts'
import { mountsBelow } from '../cluster/native/mounts.ts'
import { runInNode } from '../cluster/native/namespaces.ts'
import { endProcesses, isAlive, type ProcessRecord } from '../cluster/native/processes.ts'
import { readState as readCluster } from '../cluster/native/state.ts'
import { runFolder, type FileSystemState } from './state.ts'

/** Where each node has it, in a /run of the node's own: the path for a hostPath volume. */
export const nodeFolder = (kind: string): string => join(runFolder(kind), 'node')

export async function isMountedIn(init: ProcessRecord, folder: string): Promise<boolean> {
  return (await mountsBelow(folder, init.pid)).length > 0
}

/** Unmounts in a node, lazily since pods may use it and its client may be gone. */
export async function unmountIn(init: ProcessRecord, folder: string): Promise<void> {
  for (const deadline = Date.now() + 10_000; await isMountedIn(init, folder); await sleep(100)) {
    await runInNode(init, ['umount', '--lazy', folder])
    if (Date.now() > deadline)
      throw new Problem(`${folder} can't be unmounted in a node`, { fix: 'end the cluster, then try again' })
  }
}

/** Unmounts it on all nodes there are and ends the clients. */
export async function leaveNodes(kind: string, { nodeClients = [] }: FileSystemState): Promise<void> {
  for (const { init } of (await readCluster())?.nodes ?? [])
    if (await isAlive(init)) await unmountIn(init, nodeFolder(kind))
  await endProcesses(nodeClients, 0)
}
