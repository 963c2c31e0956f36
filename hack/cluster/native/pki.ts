import { chmod, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { execa } from 'execa'
import { RUN } from '../base/paths.ts'
import { API_ADDRESS, API_SERVICE_ADDRESS, type NodePlan } from './layout.ts'

export const PKI = join(RUN, 'pki')

/** The paths of a certificate and its key. */
export const certificate = (name: string) => join(PKI, `${name}.crt`)
export const key = (name: string) => join(PKI, `${name}.key`)
export const CA = certificate('ca')
/** Signs the tokens of service accounts. */
export const TOKEN_KEY = key('service-accounts')
/** Checks them. */
export const TOKEN_PUBLIC_KEY = join(PKI, 'service-accounts.pub')

interface Identity {
  file: string
  /** The user that Kubernetes sees. */
  user: string
  /** The group that Kubernetes sees. */
  group?: string
  /** Names and addresses under which it serves, in openssl's form. */
  serves?: readonly string[]
}

const DAYS = '365'
const NEW_KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']

/** Makes the cluster's authority and a certificate for each part. They live as long as the cluster. */
export async function makeCertificates(nodes: readonly NodePlan[]): Promise<void> {
  await mkdir(PKI, { recursive: true, mode: 0o700 })
  await writeFile(join(PKI, 'openssl.cnf'), '[req]\ndistinguished_name = dn\n[dn]\n')
  await openssl(['-x509', ...NEW_KEY, '-subj', '/CN=tekton-shared-workspace cluster', ...caUse()], 'ca')
  const plain = ['genpkey', '-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:prime256v1']
  await execa('openssl', [...plain, '-out', TOKEN_KEY])
  await execa('openssl', ['pkey', '-in', TOKEN_KEY, '-pubout', '-out', TOKEN_PUBLIC_KEY])
  await Promise.all([...controlPlane(), ...nodes.map(nodeIdentity)].map(issue))
}

function controlPlane(): Identity[] {
  const serves = [`IP:${API_ADDRESS}`, `IP:${API_SERVICE_ADDRESS}`, 'IP:127.0.0.1', 'DNS:localhost']
  const names = [
    'kubernetes',
    'kubernetes.default',
    'kubernetes.default.svc',
    'kubernetes.default.svc.cluster.local',
  ]
  return [
    { file: 'etcd', user: 'etcd', serves: ['IP:127.0.0.1'] },
    // Also what the API server shows to etcd and the kubelets, hence the group.
    {
      file: 'apiserver',
      user: 'kube-apiserver',
      group: 'system:masters',
      serves: [...serves, ...names.map((name) => `DNS:${name}`)],
    },
    { file: 'admin', user: 'admin', group: 'system:masters' },
    { file: 'controller-manager', user: 'system:kube-controller-manager' },
    { file: 'scheduler', user: 'system:kube-scheduler' },
    { file: 'proxy', user: 'system:kube-proxy' },
  ]
}

function nodeIdentity({ name, address }: NodePlan): Identity {
  return {
    file: name,
    user: `system:node:${name}`,
    group: 'system:nodes',
    serves: [`IP:${address}`, `DNS:${name}`],
  }
}

async function issue({ file, user, group, serves = [] }: Identity): Promise<void> {
  const subject = `${group ? `/O=${group}` : ''}/CN=${user}`
  const uses = [
    ...extension('basicConstraints=CA:FALSE'),
    ...extension('keyUsage=digitalSignature'),
    ...extension('extendedKeyUsage=serverAuth,clientAuth'),
    ...(serves.length > 0 ? extension(`subjectAltName=${serves.join(',')}`) : []),
  ]
  await openssl(['-x509', '-CA', CA, '-CAkey', key('ca'), ...NEW_KEY, '-subj', subject, ...uses], file)
}

function caUse(): string[] {
  return [
    ...extension('basicConstraints=critical,CA:TRUE'),
    ...extension('keyUsage=keyCertSign,digitalSignature'),
  ]
}

function extension(text: string): string[] {
  return ['-addext', text]
}

async function openssl(args: readonly string[], file: string): Promise<void> {
  const out = ['-days', DAYS, '-keyout', key(file), '-out', certificate(file)]
  await execa('openssl', ['req', '-config', join(PKI, 'openssl.cnf'), ...args, ...out])
  await chmod(key(file), 0o600)
}
