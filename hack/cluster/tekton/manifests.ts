import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { loadAll } from 'js-yaml'
import { TEKTON } from '../base/versions.ts'
import { TEKTON_CONFIG } from '../binaries/components.ts'
import { SHELL_IMAGE, tektonImage } from '../images/cluster-images.ts'

interface Probe {
  initialDelaySeconds?: number
  periodSeconds?: number
}

/** As much of a Kubernetes object as is looked at here. */
export interface KubeObject {
  apiVersion: string
  kind: string
  metadata: { name: string; namespace?: string }
  data?: Record<string, string>
  spec?: { template?: { spec?: { containers?: { readinessProbe?: Probe }[] } } }
}

/** Restricted namespaces work only when Tekton gives its own containers a security context. */
const FEATURE_FLAGS = {
  'set-security-context': 'true',
  'set-security-context-read-only-root-filesystem': 'true',
}

/** Tekton's own manifests with local images, ready for `kubectl apply`. What others need comes first. */
export async function tektonManifests(): Promise<KubeObject[]> {
  const files = await readdir(TEKTON_CONFIG, { recursive: true })
  const yaml = files.filter((file) => file.endsWith('.yaml')).sort()
  const texts = await Promise.all(yaml.map((file) => readFile(join(TEKTON_CONFIG, file), 'utf8')))
  const objects = texts.flatMap((text) => loadAll(localised(text)) as (KubeObject | null)[])
  const wanted = objects.filter((object) => object !== null).filter(isWanted)
  return wanted.map(adapted).sort(byDependence)
}

/** As Tekton's release does: names of images for names of packages, and the version for "devel". */
function localised(text: string): string {
  return (
    text
      .replaceAll(/ko:\/\/github\.com\/tektoncd\/pipeline\/cmd\/([a-z]+)/g, (_, command: string) =>
        tektonImage(command),
      )
      .replaceAll(/("-shell-image", *")[^"]*/g, `$1${SHELL_IMAGE}`)
      .replaceAll(/: "?devel"?$/gm, `: "v${TEKTON}"`)
      // A list's closing bracket must be indented deeper than its key, says YAML and this parser; Go's is lenient.
      .replaceAll(/^( *)\]$/gm, '$1  ]')
  )
}

/** There are no metrics that an autoscaler could go by. */
function isWanted(object: KubeObject): boolean {
  return object.kind !== 'HorizontalPodAutoscaler'
}

function adapted(object: KubeObject): KubeObject {
  if (object.kind === 'ConfigMap' && object.metadata.name === 'feature-flags')
    return { ...object, data: { ...object.data, ...FEATURE_FLAGS } }
  // Someone waits for it: look every second instead of first after five, then every ten.
  for (const { readinessProbe } of object.spec?.template?.spec?.containers ?? [])
    if (readinessProbe) Object.assign(readinessProbe, { initialDelaySeconds: 0, periodSeconds: 1 })
  return object
}

function byDependence(a: KubeObject, b: KubeObject): number {
  return rank(a) - rank(b)
}

function rank({ kind }: KubeObject): number {
  const first = ['Namespace', 'CustomResourceDefinition', 'ServiceAccount', 'ConfigMap', 'Secret', 'Service']
  const index = first.indexOf(kind)
  if (index >= 0) return index
  // A webhook's configuration before its server is there would refuse what comes after it.
  return kind.endsWith('WebhookConfiguration') ? first.length + 1 : first.length
}
