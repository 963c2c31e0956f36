import { createReadStream } from 'node:fs'
import { access, statfs } from 'node:fs/promises'
import { join } from 'node:path'
import { execa } from 'execa'
import { writeWhole } from '../base/files.ts'
import { SYSTEM_PATH } from '../binaries/packages.ts'
import { PAUSE_IMAGE } from '../images/cluster-images.ts'
import { LOGS } from '../base/paths.ts'
import { waitFor } from '../base/wait.ts'
import type { StateKeeper } from './keeper.ts'
import type { NodePlan } from './layout.ts'
import { inNode } from './namespaces.ts'
import { endedEarly, isAlive, startDaemon, type ProcessRecord } from './processes.ts'

/** As the node sees it; the machine finds it through /proc. */
export const CONTAINERD_SOCKET = '/run/containerd/containerd.sock'

export async function startContainerd(
  node: NodePlan,
  init: ProcessRecord,
  keeper: StateKeeper,
): Promise<void> {
  const config = join(node.folder, 'containerd.toml')
  const networks = join(node.folder, 'cni')
  await writeWhole(join(networks, '10-pods.conflist'), JSON.stringify(podNetwork(node), null, 2))
  await writeWhole(config, containerdConfig(networks, await snapshotterFor(node.folder)))
  const log = join(LOGS, `${node.name}-containerd.log`)
  const command = inNode(init, ['containerd', '--config', config, '--log-level', 'warn'])
  const record = await keeper.addProcess(await startDaemon(`${node.name} containerd`, command, log))
  await waitFor(() => answers(init, record), { what: `${node.name}'s containerd`, timeoutMs: 30_000, log })
}

/** Puts a docker archive into a node's containerd, where the kubelet finds it. Returns ctr's report. */
export async function importImage(init: ProcessRecord, archive: string): Promise<string> {
  const ctr = ['ctr', '--namespace', 'k8s.io', 'images', 'import', '--digests=false', '-']
  const [program = '', ...args] = inNode(init, ctr)
  // By stdin: the archive may lie where the node has a folder of its own.
  const { stdout } = await execa(program, args, {
    env: { PATH: SYSTEM_PATH },
    input: createReadStream(archive),
  })
  return stdout
}

async function answers(init: ProcessRecord, record: ProcessRecord): Promise<boolean> {
  if (!(await isAlive(record))) throw await endedEarly(record)
  await access(`/proc/${init.pid}/root${CONTAINERD_SOCKET}`)
  const [program = '', ...args] = inNode(init, ['ctr', 'version'])
  await execa(program, args, { env: { PATH: SYSTEM_PATH } })
  return true
}

/** Overlays can't be stacked on an overlay, which is what a container's own root mostly is. */
async function snapshotterFor(folder: string): Promise<string> {
  const OVERLAYFS_MAGIC = 0x794c7630
  return (await statfs(folder)).type === OVERLAYFS_MAGIC ? 'native' : 'overlayfs'
}

function containerdConfig(networks: string, snapshotter: string): string {
  // restrict_oom_score_adj: without CAP_SYS_RESOURCE a score can't be lowered, and containers would not start.
  return `version = 2

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "${PAUSE_IMAGE}"
  restrict_oom_score_adj = true

[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "/usr/lib/cni"
  conf_dir = "${networks}"

[plugins."io.containerd.grpc.v1.cri".containerd]
  snapshotter = "${snapshotter}"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
  SystemdCgroup = false
`
}

function podNetwork({ podRange }: NodePlan) {
  const bridge = {
    type: 'bridge',
    bridge: 'cni0',
    isDefaultGateway: true,
    hairpinMode: true,
    ipam: { type: 'host-local', ranges: [[{ subnet: podRange }]] },
  }
  return {
    cniVersion: '0.4.0',
    name: 'pods',
    plugins: [bridge, { type: 'portmap', capabilities: { portMappings: true } }],
  }
}
