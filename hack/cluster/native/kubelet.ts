import { copyFile } from 'node:fs/promises'
import { join } from 'node:path'
import { writeWhole } from '../base/files.ts'
import { LOGS } from '../base/paths.ts'
import { binary } from '../binaries/components.ts'
import { makeCgroup } from './cgroups.ts'
import { CONTAINERD_SOCKET } from './containerd.ts'
import { flagsOf } from './control-plane.ts'
import type { StateKeeper } from './keeper.ts'
import { writeKubeconfig } from './kubeconfig-file.ts'
import { DNS_SERVICE_ADDRESS, type NodePlan } from './layout.ts'
import { inNode } from './namespaces.ts'
import { CA, certificate, key } from './pki.ts'
import { startDaemon, type ProcessRecord } from './processes.ts'

export async function startKubelet(node: NodePlan, init: ProcessRecord, keeper: StateKeeper): Promise<void> {
  const own = (file: string) => join(node.folder, file)
  // The node has a /run of its own, so it can't read the cluster's.
  await copyFile(CA, own('ca.crt'))
  await copyFile(certificate(node.name), own('kubelet.crt'))
  await copyFile(key(node.name), own('kubelet.key'))
  await writeKubeconfig(node.name, own('kubelet.kubeconfig'))
  // Pods look names up nowhere: there is no DNS server, and the machine's may not be reachable for them.
  await writeWhole(own('resolv.conf'), 'options ndots:1\n')
  await writeWhole(own('kubelet.json'), JSON.stringify(kubeletConfig(node), null, 2))
  await makeCgroup(node.cgroup)
  const flags = {
    config: own('kubelet.json'),
    kubeconfig: own('kubelet.kubeconfig'),
    'hostname-override': node.name,
    'node-ip': node.address,
    v: '1',
  }
  const command = inNode(init, [binary('kubelet'), ...flagsOf(flags)])
  const log = join(LOGS, `${node.name}-kubelet.log`)
  await keeper.addProcess(await startDaemon(`${node.name} kubelet`, command, log))
}

function kubeletConfig(node: NodePlan) {
  return {
    apiVersion: 'kubelet.config.k8s.io/v1beta1',
    kind: 'KubeletConfiguration',
    address: node.address,
    healthzBindAddress: '127.0.0.1',
    tlsCertFile: join(node.folder, 'kubelet.crt'),
    tlsPrivateKeyFile: join(node.folder, 'kubelet.key'),
    authentication: {
      anonymous: { enabled: false },
      webhook: { enabled: true },
      x509: { clientCAFile: join(node.folder, 'ca.crt') },
    },
    authorization: { mode: 'Webhook' },
    containerRuntimeEndpoint: `unix://${CONTAINERD_SOCKET}`,
    cgroupDriver: 'cgroupfs',
    cgroupRoot: node.cgroup,
    // The node's processes are not in a cgroup of their own: only pods are held to limits.
    enforceNodeAllocatable: [],
    clusterDNS: [DNS_SERVICE_ADDRESS],
    clusterDomain: 'cluster.local',
    resolvConf: join(node.folder, 'resolv.conf'),
    failSwapOn: false,
    // Lower scores need CAP_SYS_RESOURCE.
    oomScoreAdj: 0,
    // Both nodes share the machine's disk and memory with everything else: that it is rather full is no reason
    // to evict pods, and an image that is removed could not be pulled again.
    evictionHard: { 'memory.available': '1Mi', 'nodefs.available': '1Mi', 'imagefs.available': '1Mi' },
    imageGCHighThresholdPercent: 100,
    imageGCLowThresholdPercent: 99,
  }
}
