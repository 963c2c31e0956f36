import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { CACHE, SOURCES } from '../base/paths.ts'
import { ETCD, KUBERNETES, TEKTON, TKN } from '../base/versions.ts'

export interface Component {
  /** The name of the executable. */
  name: string
  /** The folder of the Go module from which it is built. */
  module: string
  /** The Go package that is its main. */
  pkg: string
  version: string
  /** Variables that the linker sets, as `import/path.name=value`. */
  variables?: readonly string[]
}

const kubernetesVersion = 'k8s.io/component-base/version'
const [major, minor] = KUBERNETES.split('.')

/** Clients balk at a server that doesn't know its own version. */
const kubernetesVariables = [
  `${kubernetesVersion}.gitVersion=v${KUBERNETES}`,
  `${kubernetesVersion}.gitMajor=${major}`,
  `${kubernetesVersion}.gitMinor=${minor}`,
  `${kubernetesVersion}.gitTreeState=clean`,
]

const kubernetes = (name: string): Component => ({
  name,
  module: join(SOURCES, 'kubernetes'),
  pkg: `k8s.io/kubernetes/cmd/${name}`,
  version: KUBERNETES,
  variables: kubernetesVariables,
})

const tekton = (name: string): Component => ({
  name,
  module: join(SOURCES, 'tekton'),
  pkg: `github.com/tektoncd/pipeline/cmd/${name}`,
  version: TEKTON,
})

export const TEKTON_COMMANDS = [
  'controller',
  'webhook',
  'resolvers',
  'entrypoint',
  'nop',
  'workingdirinit',
  'sidecarlogresults',
  'events',
] as const

/** In the order of the build: the API server first, since what it compiles serves the others. */
export const COMPONENTS: readonly Component[] = [
  kubernetes('kube-apiserver'),
  kubernetes('kubelet'),
  kubernetes('kube-controller-manager'),
  kubernetes('kube-scheduler'),
  kubernetes('kube-proxy'),
  kubernetes('kubectl'),
  { name: 'etcd', module: join(SOURCES, 'etcd'), pkg: 'go.etcd.io/etcd/server/v3', version: ETCD },
  ...TEKTON_COMMANDS.map(tekton),
  {
    name: 'tkn',
    module: join(SOURCES, 'tkn'),
    pkg: '.',
    version: TKN,
    variables: [`github.com/tektoncd/cli/pkg/cmd/version.clientVersion=${TKN}`],
  },
  { name: 'pause', module: join(SOURCES, 'pause'), pkg: '.', version: '1' },
]

/** Where the executable is kept: one folder per module and version. */
export function binaryPath(component: Component): string {
  const folder = `${basename(component.module)}-${component.version}${ownRevision(component)}`
  return join(CACHE, folder, component.name)
}

/** A main of our own changes without a change of version: its text is part of the key. */
function ownRevision(component: Component): string {
  if (component.pkg !== '.') return ''
  const hash = createHash('sha256')
  for (const file of ['go.mod', 'main.go']) hash.update(readFileSync(join(component.module, file)))
  return `-${hash.digest('hex').slice(0, 8)}`
}

/** The path of an executable by its name. */
export function binary(name: string): string {
  const component = COMPONENTS.find((candidate) => candidate.name === name)
  if (!component) throw new Error(`no component is named ${name}`)
  return binaryPath(component)
}

export const TEKTON_CONFIG = join(CACHE, `tekton-${TEKTON}`, 'config')
