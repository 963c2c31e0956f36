import { rm } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { Problem } from '../base/problem.ts'
import { removeCgroups } from './cgroups.ts'
import { NODES } from './layout.ts'
import { mountsBelow, removeMountPoints } from './mounts.ts'
import { linksOf, removeLinks } from './network.ts'
import { endProcesses, isAlive, processesInNamespace } from './processes.ts'
import { removeRunFolder, type ClusterState } from './state.ts'
import { restoreSysctls } from './sysctls.ts'

/**
 * Ends everything that `up` started and removes what it made. A node's first process takes with it all that runs
 * in the node: containerd, the shims, the pods.
 */
export async function stopCluster(state: ClusterState): Promise<void> {
  const inits = state.nodes.map(({ init }) => init)
  // No patience: there is nothing to save, and the kubelets would first wait for their pods. And all at once: a node's
  // first process only ends when the kubelet was reaped by the process that entered the node for it.
  await endProcesses([...inits, ...state.processes.toReversed()], 0)
  await removeLinks(NODES)
  await restoreSysctls(state.sysctls)
  const left = await leftovers(state)
  if (left.length > 0) {
    throw new Problem('the cluster is down, but not all of it is gone', {
      found: left.join('; '),
      fix: 'end these processes if they are yours, then run down again',
    })
  }
  await removeMountPoints(state.mountPoints)
  await rm(state.dataFolder, { recursive: true, force: true })
  await removeRunFolder()
}

/** What is still there of a cluster that was ended, in words. Gives the kernel a moment to let go. */
async function leftovers(state: ClusterState): Promise<string[]> {
  const deadline = Date.now() + 5000
  for (;;) {
    const left = (
      await Promise.all([processesLeft(state), groupsLeft(), linksLeft(), mountsLeft(state)])
    ).flat()
    if (left.length === 0 || Date.now() > deadline) return left
    await sleep(100)
  }
}

async function processesLeft({ processes, nodes }: ClusterState): Promise<string[]> {
  const left: string[] = []
  for (const record of [...processes, ...nodes.map(({ init }) => init)])
    if (await isAlive(record)) left.push(`${record.name} (process ${record.pid})`)
  for (const { name, namespaces } of nodes) {
    for (const kind of ['pid', 'mnt', 'net'] as const) {
      const pids = await processesInNamespace(kind, namespaces[kind])
      if (pids.length > 0) left.push(`processes ${pids.join(', ')} in the ${kind} namespace of ${name}`)
    }
  }
  return left
}

async function groupsLeft(): Promise<string[]> {
  return (await removeCgroups()).map((path) => `cgroup ${path}`)
}

async function linksLeft(): Promise<string[]> {
  return (await linksOf(NODES)).map((link) => `link ${link}`)
}

async function mountsLeft({ dataFolder }: ClusterState): Promise<string[]> {
  return (await mountsBelow(dataFolder)).map((place) => `mount ${place}`)
}
