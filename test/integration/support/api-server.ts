/** A real kube-apiserver over a real etcd on loopback, without nodes or controllers: the test cluster's binaries. */
import { existsSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { CustomObjectsApi, KubeConfig, CoreV1Api, RbacAuthorizationV1Api } from '@kubernetes/client-node'
import { execa } from 'execa'
import { binaryPath, COMPONENTS } from '../../../hack/cluster/binaries/components.ts'
import { goBuild } from '../../../hack/cluster/binaries/go-build.ts'
import { startServer } from './server.ts'

/** Who asks: the first may do everything, the others what a Role lets them. */
const TOKENS = { admin: 'system:masters', runner: '', stranger: '' }
export type User = keyof typeof TOKENS

export interface ApiServer {
  /** `https://<host>:<port>` */
  url: string
  /** A kubeconfig for a user, by another address where one is given (a proxy's). */
  kubeconfig(user: User, url?: string): Promise<string>
  /** A new namespace, in which `runner` has the Role with these rules. */
  namespace(rules: object[]): Promise<string>
  /** As `admin`, for what a test does behind the back of the code. */
  objects: CustomObjectsApi
  stop(): Promise<void>
}

/** Builds what is missing, which takes minutes the first time on a machine without a test cluster. */
export async function startApiServer(): Promise<ApiServer> {
  const folder = await mkdtemp(join(tmpdir(), 'shared-workspace-api-'))
  const [etcdFile, serverFile] = [await ensure('etcd'), await ensure('kube-apiserver')]
  const etcd = await startServer(etcdFile, (address) => etcdFlags(folder, address))
  await writeSecrets(folder)
  const server = await startServer(serverFile, (address) => serverFlags(folder, etcd.address, address))
  const url = `https://${server.address}`
  let files = 0
  const kubeconfig: ApiServer['kubeconfig'] = async (user, at = url) => {
    const path = join(folder, `kubeconfig-${files++}`)
    await writeFile(path, JSON.stringify(configOf(user, at)))
    return path
  }
  const admin = new KubeConfig()
  admin.loadFromFile(await kubeconfig('admin'))
  const core = admin.makeApiClient(CoreV1Api)
  await untilReady(core)
  const rbac = admin.makeApiClient(RbacAuthorizationV1Api)
  let namespaces = 0
  return {
    url,
    kubeconfig,
    async namespace(rules) {
      const namespace = `test-${namespaces++}`
      await core.createNamespace({ body: { metadata: { name: namespace } } })
      const metadata = { name: 'runner' }
      await rbac.createNamespacedRole({ namespace, body: { metadata, rules: rules as never } })
      const roleRef = { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: 'runner' }
      const subjects = [{ apiGroup: 'rbac.authorization.k8s.io', kind: 'User', name: 'runner' }]
      await rbac.createNamespacedRoleBinding({ namespace, body: { metadata, roleRef, subjects } })
      return namespace
    },
    objects: admin.makeApiClient(CustomObjectsApi),
    async stop() {
      await server.stop()
      await etcd.stop()
      await rm(folder, { recursive: true, force: true })
    },
  }
}

async function ensure(name: string): Promise<string> {
  const component = COMPONENTS.find((candidate) => candidate.name === name)!
  if (!existsSync(binaryPath(component))) await goBuild(component)
  return binaryPath(component)
}

const etcdFlags = (folder: string, address: string): string[] => [
  `--data-dir=${join(folder, 'etcd')}`,
  '--unsafe-no-fsync=true',
  `--listen-client-urls=http://${address}`,
  `--advertise-client-urls=http://${address}`,
  // No other member ever calls it there.
  '--listen-peer-urls=http://127.0.0.1:0',
  '--initial-advertise-peer-urls=http://127.0.0.1:0',
  '--initial-cluster=default=http://127.0.0.1:0',
  '--log-level=warn',
]

async function writeSecrets(folder: string): Promise<void> {
  const lines = Object.entries(TOKENS).map(
    ([user, group]) => `token-of-${user},${user},${user}${group && `,${group}`}`,
  )
  await writeFile(join(folder, 'tokens.csv'), `${lines.join('\n')}\n`)
  const { key, publicKey } = serviceAccounts(folder)
  const curve = ['-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:prime256v1']
  await execa('openssl', ['genpkey', ...curve, '-out', key])
  await execa('openssl', ['pkey', '-in', key, '-pubout', '-out', publicKey])
}

/** What signs the tokens of service accounts, and checks them. */
const serviceAccounts = (folder: string) => ({
  key: join(folder, 'service-accounts.key'),
  publicKey: join(folder, 'service-accounts.pub'),
})

function serverFlags(folder: string, etcd: string, address: string): string[] {
  const [host, port] = address.split(':')
  const { key, publicKey } = serviceAccounts(folder)
  return [
    `--etcd-servers=http://${etcd}`,
    `--bind-address=${host}`,
    `--secure-port=${port}`,
    // Makes itself a certificate there.
    `--cert-dir=${folder}`,
    `--token-auth-file=${join(folder, 'tokens.csv')}`,
    '--authorization-mode=RBAC',
    '--service-account-issuer=https://kubernetes.default.svc',
    `--service-account-key-file=${publicKey}`,
    `--service-account-signing-key-file=${key}`,
    '--service-cluster-ip-range=10.96.0.0/16',
    // Nothing here has an address that others could use.
    '--endpoint-reconciler-type=none',
    '--disable-admission-plugins=ServiceAccount',
    '--profiling=false',
  ]
}

const configOf = (user: User, server: string): object => ({
  apiVersion: 'v1',
  kind: 'Config',
  clusters: [{ name: 'test', cluster: { server, 'insecure-skip-tls-verify': true } }],
  users: [{ name: user, user: { token: `token-of-${user}` } }],
  contexts: [{ name: 'test', context: { cluster: 'test', user } }],
  'current-context': 'test',
})

/** It listens before it serves. */
async function untilReady(core: CoreV1Api): Promise<void> {
  const deadline = performance.now() + 60_000
  for (;;) {
    try {
      await core.readNamespace({ name: 'default' })
      return
    } catch (error) {
      if (performance.now() > deadline) throw error
      await sleep(100)
    }
  }
}
