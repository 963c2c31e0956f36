import { join } from 'node:path'
import { DATA } from '../base/paths.ts'

/**
 * The addresses of a native cluster. 198.18.0.0/15 is set aside for tests inside one site, so a real network is
 * unlikely to use it.
 */
export const API_ADDRESS = '198.18.77.1'
export const API_PORT = 6443
export const ETCD_URL = 'https://127.0.0.1:23790'
export const ETCD_PEER_URL = 'https://127.0.0.1:23800'
export const POD_RANGE = '10.244.0.0/16'
export const SERVICE_RANGE = '10.96.0.0/16'
/** The first of the service range, which the API server gives itself. */
export const API_SERVICE_ADDRESS = '10.96.0.1'
export const DNS_SERVICE_ADDRESS = '10.96.0.10'

export interface NodePlan {
  name: string
  address: string
  /** The pods' addresses on this node. */
  podRange: string
  /** The machine's end of the link to the node. At most 15 characters. */
  link: string
  /** The node's end of the link to the other node. */
  peerLink: string
  /** Below the mount of every cgroup hierarchy. */
  cgroup: string
  /** What the node keeps on disk. */
  folder: string
}

export const CGROUP = '/tsw-cluster'

export const NODES: readonly NodePlan[] = [plan('a', 0), plan('b', 1)]

function plan(letter: string, index: number): NodePlan {
  const name = `node-${letter}`
  return {
    name,
    address: `198.18.77.${11 + index}`,
    podRange: `10.244.${index}.0/24`,
    link: `tsw-${name}`,
    peerLink: 'eth1',
    cgroup: `${CGROUP}/${name}`,
    folder: join(DATA, 'nodes', name),
  }
}

/** Folders of the machine that a node must have for itself. Its own ones are mounted over them. */
export const PRIVATE_FOLDERS = [
  '/var/lib/cni',
  '/var/lib/containerd',
  '/var/lib/kubelet',
  '/var/log/containers',
  '/var/log/pods',
] as const
