import { join } from 'node:path'
import { DATA, KUBECONFIG, RUN } from '../base/paths.ts'
import { binary } from '../binaries/components.ts'
import { API_ADDRESS, API_PORT, ETCD_PEER_URL, ETCD_URL, POD_RANGE, SERVICE_RANGE } from './layout.ts'
import { CA, certificate, key, TOKEN_KEY, TOKEN_PUBLIC_KEY } from './pki.ts'

const kubeconfigOf = (identity: string) => join(RUN, `${identity}.kubeconfig`)
export const CONTROLLER_MANAGER_KUBECONFIG = kubeconfigOf('controller-manager')
export const SCHEDULER_KUBECONFIG = kubeconfigOf('scheduler')
export const ADMIN_KUBECONFIG = KUBECONFIG

export function etcdCommand(): string[] {
  const client = { 'cert-file': certificate('etcd'), 'key-file': key('etcd'), 'trusted-ca-file': CA }
  const flags = {
    name: 'etcd',
    'data-dir': join(DATA, 'etcd'),
    // What is in it dies with the cluster: no use in waiting for the disk.
    'unsafe-no-fsync': 'true',
    'listen-client-urls': ETCD_URL,
    'advertise-client-urls': ETCD_URL,
    'listen-peer-urls': ETCD_PEER_URL,
    'initial-advertise-peer-urls': ETCD_PEER_URL,
    'initial-cluster': `etcd=${ETCD_PEER_URL}`,
    'client-cert-auth': 'true',
    'peer-client-cert-auth': 'true',
    ...client,
    ...Object.fromEntries(Object.entries(client).map(([name, value]) => [`peer-${name}`, value])),
    'log-level': 'warn',
  }
  return [binary('etcd'), ...flagsOf(flags)]
}

export function apiServerCommand(): string[] {
  const flags = {
    'bind-address': API_ADDRESS,
    'advertise-address': API_ADDRESS,
    'secure-port': String(API_PORT),
    'etcd-servers': ETCD_URL,
    'etcd-cafile': CA,
    'etcd-certfile': certificate('apiserver'),
    'etcd-keyfile': key('apiserver'),
    'client-ca-file': CA,
    'tls-cert-file': certificate('apiserver'),
    'tls-private-key-file': key('apiserver'),
    'kubelet-certificate-authority': CA,
    'kubelet-client-certificate': certificate('apiserver'),
    'kubelet-client-key': key('apiserver'),
    // The nodes' names are known to nobody's DNS; kubectl logs needs their addresses.
    'kubelet-preferred-address-types': 'InternalIP',
    'service-account-issuer': 'https://kubernetes.default.svc',
    'service-account-key-file': TOKEN_PUBLIC_KEY,
    'service-account-signing-key-file': TOKEN_KEY,
    'service-cluster-ip-range': SERVICE_RANGE,
    'authorization-mode': 'Node,RBAC',
    'enable-admission-plugins': 'NodeRestriction',
    // No kube-proxy serves this process: it calls webhooks at their pods' addresses.
    'enable-aggregator-routing': 'true',
    'allow-privileged': 'true',
    profiling: 'false',
  }
  return [binary('kube-apiserver'), ...flagsOf(flags)]
}

export function controllerManagerCommand(): string[] {
  const flags = {
    kubeconfig: CONTROLLER_MANAGER_KUBECONFIG,
    'service-account-private-key-file': TOKEN_KEY,
    'root-ca-file': CA,
    'use-service-account-credentials': 'true',
    'cluster-cidr': POD_RANGE,
    'allocate-node-cidrs': 'false',
    'leader-elect': 'false',
    // Nobody asks for its metrics: don't listen at all.
    'secure-port': '0',
  }
  return [binary('kube-controller-manager'), ...flagsOf(flags)]
}

export function schedulerCommand(): string[] {
  const flags = { kubeconfig: SCHEDULER_KUBECONFIG, 'leader-elect': 'false', 'secure-port': '0' }
  return [binary('kube-scheduler'), ...flagsOf(flags)]
}

export function flagsOf(flags: Readonly<Record<string, string>>): string[] {
  return Object.entries(flags).map(([name, value]) => `--${name}=${value}`)
}
