/** The CephFS of `./run filesystem ceph up`, mounted on the nodes of `./run cluster up` by `ceph nodes`. */
import { firstChild, isAlive, type ProcessRecord } from '../../../hack/cluster/native/processes.ts'
import { readState as readCluster } from '../../../hack/cluster/native/state.ts'
import { nodes as mountOnNodes } from '../../../hack/filesystem/ceph/nodes.ts'
import { nodeFolder } from '../../../hack/filesystem/nodes.ts'
import { readState } from '../../../hack/filesystem/state.ts'
import { ownCluster } from './cluster.ts'
import type { FileSystem } from './namespace.ts'

/** Where it is mounted; undefined where a node has none, and then it says what to do. */
export async function cephOnNodes(): Promise<FileSystem | undefined> {
  const clients = (await clientsOf()) ?? []
  const alive = await Promise.all(clients.map(isAlive))
  if (clients.length > 1 && alive.every(Boolean))
    return { here: (await readState('ceph'))!.mounts[0]!, onNodes: nodeFolder('ceph') }
  console.log(
    'Left out: the nodes have no CephFS. Run ./run filesystem ceph up, then ./run filesystem ceph nodes',
  )
  return undefined
}

async function clientsOf(): Promise<ProcessRecord[] | undefined> {
  return ownCluster() ? undefined : (await readState('ceph'))?.nodeClients
}

/** Kills a node's client as the end of the node would: its session stays with the server until that gives it up. */
export async function killClient(node: string): Promise<void> {
  const client = (await clientsOf())!.find(({ name }) => name === `client.${node}`)!
  process.kill(client.pid, 'SIGKILL')
}

/** Mounts it again where its client was killed. */
export const mountAgain = (): Promise<void> => mountOnNodes()

/** Stops a node's kubelet, so that the API hears of the node no more. @returns what lets it go on */
export async function stopKubelet(node: string): Promise<() => void> {
  const { processes } = (await readCluster())!
  // The recorded process is the one that entered the node; the kubelet is its child.
  const outer = processes.find(({ name }) => name === `${node} kubelet`)!
  const kubelet = (await firstChild(outer.pid))!
  process.kill(kubelet, 'SIGSTOP')
  // Who entered the node stops with its child, and does not go on with it.
  return () => [kubelet, outer.pid].forEach((pid) => process.kill(pid, 'SIGCONT'))
}
