import { join } from 'node:path'
import { LOGS } from '../base/paths.ts'
import { binary } from '../binaries/components.ts'
import { flagsOf } from './control-plane.ts'
import type { StateKeeper } from './keeper.ts'
import { writeKubeconfig } from './kubeconfig-file.ts'
import { POD_RANGE, type NodePlan } from './layout.ts'
import { inNode } from './namespaces.ts'
import { startDaemon, type ProcessRecord } from './processes.ts'

export async function startKubeProxy(
  node: NodePlan,
  init: ProcessRecord,
  keeper: StateKeeper,
): Promise<void> {
  const kubeconfig = join(node.folder, 'kube-proxy.kubeconfig')
  await writeKubeconfig('proxy', kubeconfig)
  const flags = {
    kubeconfig,
    'hostname-override': node.name,
    'proxy-mode': 'iptables',
    'cluster-cidr': POD_RANGE,
    'bind-address': node.address,
    'healthz-bind-address': '127.0.0.1:10256',
    'metrics-bind-address': '127.0.0.1:10249',
    // These belong to the machine, and to one who has CAP_SYS_RESOURCE.
    'conntrack-max-per-core': '0',
    'oom-score-adj': '0',
  }
  const command = inNode(init, [binary('kube-proxy'), ...flagsOf(flags)])
  const log = join(LOGS, `${node.name}-kube-proxy.log`)
  await keeper.addProcess(await startDaemon(`${node.name} kube-proxy`, command, log))
}
