import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { writeWhole } from '../base/files.ts'
import { DATA, LOGS, nodePidFile } from '../base/paths.ts'
import { step } from '../base/progress.ts'
import { waitFor } from '../base/wait.ts'
import { installTekton, waitForTekton } from '../tekton/install.ts'
import { importImage, startContainerd } from './containerd.ts'
import * as controlPlane from './control-plane.ts'
import { StateKeeper } from './keeper.ts'
import { startKubeProxy } from './kube-proxy.ts'
import { writeKubeconfig } from './kubeconfig-file.ts'
import { kubectl, linkClients } from './kubectl.ts'
import { startKubelet } from './kubelet.ts'
import { DNS_SERVICE_ADDRESS, PRIVATE_FOLDERS, type NodePlan } from './layout.ts'
import { makeMountPoints } from './mounts.ts'
import { prepareNode, startNamespaces } from './namespaces.ts'
import { connectNode, connectPeers, requireFreeAddresses, type ConnectedNode } from './network.ts'
import { makeCertificates } from './pki.ts'
import { endedEarly, isAlive, startDaemon } from './processes.ts'
import { newState } from './state.ts'
import { readSysctls } from './sysctls.ts'

/** Starts a cluster where none runs. What it made is in the state file at every moment. */
export async function startCluster(plans: readonly NodePlan[], images: readonly string[]): Promise<void> {
  await requireFreeAddresses(plans)
  const keeper = new StateKeeper(await newState(DATA))
  await keeper.save({ sysctls: await readSysctls() })
  await mkdir(LOGS, { recursive: true })
  await linkClients()
  await step('certificates', 'being made', () => makeAccess(plans))
  const nodes = await step('namespaces and links', 'being made', () => startNodes(plans, keeper))
  await Promise.all([
    step('control plane', 'starting', () => startControlPlane(keeper)),
    step('containerd and images', 'loading', () =>
      Promise.all(nodes.map((node) => fillNode(node, images, keeper))),
    ),
  ])
  await step('Tekton objects', 'being created', createObjects)
  await step('nodes ready', 'starting', () => startKubernetesNodes(nodes, keeper))
  await step('Tekton ready', 'starting', () => waitForTekton())
  await keeper.save({ complete: true })
}

async function makeAccess(plans: readonly NodePlan[]): Promise<void> {
  await makeCertificates(plans)
  await Promise.all([
    writeKubeconfig('admin', controlPlane.ADMIN_KUBECONFIG),
    writeKubeconfig('controller-manager', controlPlane.CONTROLLER_MANAGER_KUBECONFIG),
    writeKubeconfig('scheduler', controlPlane.SCHEDULER_KUBECONFIG),
  ])
}

async function startNodes(plans: readonly NodePlan[], keeper: StateKeeper): Promise<ConnectedNode[]> {
  await keeper.save({ mountPoints: await makeMountPoints(PRIVATE_FOLDERS) })
  const nodes = await Promise.all(plans.map((plan) => startNode(plan, keeper)))
  const [a, b] = nodes
  if (a && b) await connectPeers(a, b)
  return nodes
}

async function startNode(plan: NodePlan, keeper: StateKeeper): Promise<ConnectedNode> {
  const { outer, node } = await startNamespaces(plan)
  await keeper.addProcess(outer)
  await keeper.addNode(node)
  await writeWhole(nodePidFile(plan.name), `${node.init.pid}\n`)
  await prepareNode(plan, node.init)
  await connectNode(plan, node.init)
  return { plan, init: node.init }
}

async function startControlPlane(keeper: StateKeeper): Promise<void> {
  await start('etcd', controlPlane.etcdCommand(), keeper)
  const api = await start('kube-apiserver', controlPlane.apiServerCommand(), keeper)
  const isReady = async () => {
    if (!(await isAlive(api))) throw await endedEarly(api)
    return (await kubectl(['get', '--raw', '/readyz'])) === 'ok'
  }
  await waitFor(isReady, { what: 'a ready API server', timeoutMs: 90_000, log: api.log })
  await start('kube-controller-manager', controlPlane.controllerManagerCommand(), keeper)
  await start('kube-scheduler', controlPlane.schedulerCommand(), keeper)
}

async function start(name: string, command: readonly string[], keeper: StateKeeper) {
  return await keeper.addProcess(await startDaemon(name, command, join(LOGS, `${name}.log`)))
}

async function fillNode(
  { plan, init }: ConnectedNode,
  images: readonly string[],
  keeper: StateKeeper,
): Promise<void> {
  await startContainerd(plan, init, keeper)
  for (const image of images) await importImage(init, image)
}

async function startKubernetesNodes(nodes: readonly ConnectedNode[], keeper: StateKeeper): Promise<void> {
  for (const { plan, init } of nodes) {
    await startKubelet(plan, init, keeper)
    await startKubeProxy(plan, init, keeper)
  }
  const log = join(LOGS, `${nodes[0]?.plan.name}-kubelet.log`)
  await waitFor(() => areReady(nodes), { what: 'ready nodes', timeoutMs: 90_000, log })
}

async function areReady(nodes: readonly ConnectedNode[]): Promise<boolean> {
  const path = '{range .items[*]}{.status.conditions[?(@.type=="Ready")].status}{"\\n"}{end}'
  const lines = (await kubectl(['get', 'nodes', `--output=jsonpath=${path}`])).trim().split('\n')
  return lines.length === nodes.length && lines.every((line) => line === 'True')
}

async function createObjects(): Promise<void> {
  const list = { apiVersion: 'v1', kind: 'List', items: [refusedDns(), nodesMayRead()] }
  await kubectl(['apply', '--server-side', '--filename=-'], JSON.stringify(list))
  await installTekton()
}

/**
 * The address that pods ask for names, with nobody behind it: kube-proxy then refuses at once. Nothing here needs
 * DNS, and without this a look-up would wait for its timeout.
 */
function refusedDns() {
  const ports = ['UDP', 'TCP'].map((protocol) => ({
    name: `dns-${protocol.toLowerCase()}`,
    port: 53,
    protocol,
  }))
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: 'kube-dns', namespace: 'kube-system' },
    spec: { clusterIP: DNS_SERVICE_ADDRESS, ports },
  }
}

/**
 * The node authorizer lets a node read what its pods use, but learns of it a little late on a busy machine: a pod
 * whose claim was refused so waits 15 seconds for the next try. The nodes' role allows it at once.
 */
function nodesMayRead() {
  const apiGroup = 'rbac.authorization.k8s.io'
  return {
    apiVersion: `${apiGroup}/v1`,
    kind: 'ClusterRoleBinding',
    metadata: { name: 'tekton-shared-workspace-nodes' },
    roleRef: { apiGroup, kind: 'ClusterRole', name: 'system:node' },
    subjects: [{ apiGroup, kind: 'Group', name: 'system:nodes' }],
  }
}
