/**
 * The few questions that the product asks the Kubernetes API from inside a pod, and what it tells it. The client is
 * large and most steps never ask, so it is loaded at the first question.
 */
import { env } from './host.ts'

/** What a GET or LIST said. `denied` covers 401, 403, timeouts and everything else that is not an answer. */
export type Answer<T> = { found: T } | { missing: true } | { denied: string }

export interface KubeObject {
  metadata?: {
    name?: string
    uid?: string
    labels?: Record<string, string>
    deletionTimestamp?: string | Date
  }
  status?: Record<string, unknown>
}

export interface Kube {
  get(
    plural: 'pipelineruns' | 'taskruns' | 'pods',
    namespace: string,
    name: string,
  ): Promise<Answer<KubeObject>>
  list(plural: 'taskruns' | 'pods', namespace: string, labelSelector: string): Promise<Answer<KubeObject[]>>
}

const DEADLINE_MS = 10_000
const TEKTON = { group: 'tekton.dev', version: 'v1' }

/** Whether this process is in a pod of a cluster. */
export const isInCluster = (): boolean => Boolean(env['KUBERNETES_SERVICE_HOST'])

/** The API of the cluster that this pod runs in; undefined outside of one. */
export function kubeHere(): Kube | undefined {
  if (!isInCluster()) return undefined
  let clients: ReturnType<typeof connect> | undefined
  const api = () => (clients ??= connect())
  return {
    get: (plural, namespace, name) =>
      answer<KubeObject>(async () => {
        const { core, custom } = await api()
        if (plural === 'pods') return core.readNamespacedPod({ namespace, name })
        return custom.getNamespacedCustomObject({ ...TEKTON, namespace, plural, name })
      }),
    list: (plural, namespace, labelSelector) =>
      answer<KubeObject[]>(async () => {
        const { core, custom } = await api()
        const found = await (plural === 'pods'
          ? core.listNamespacedPod({ namespace, labelSelector })
          : custom.listNamespacedCustomObject({ ...TEKTON, namespace, plural, labelSelector }))
        return (found as { items: KubeObject[] }).items
      }),
  }
}

/** As the kubeconfig file says; without one, as the pod's service account. */
export async function connect(kubeconfig?: string) {
  const { CoreV1Api, CustomObjectsApi, KubeConfig } = await import('@kubernetes/client-node')
  const config = new KubeConfig()
  if (kubeconfig) config.loadFromFile(kubeconfig)
  else config.loadFromCluster()
  return { core: config.makeApiClient(CoreV1Api), custom: config.makeApiClient(CustomObjectsApi) }
}

/** What `kubectl describe` shows of an object, and `kubectl get events` of a namespace. */
export interface KubeEvent {
  type: 'Normal' | 'Warning'
  /** In CamelCase, as Kubernetes has them. */
  reason: string
  message: string
  about: { apiVersion: string; kind: string; namespace: string; name: string; uid: string }
  pod: string
}

/** Kubernetes wants events to be small. */
const MESSAGE_LENGTH = 1000

/** Writes an event, which Kubernetes keeps for an hour. */
export const postEvent = ({ type, reason, message, about, pod }: KubeEvent): Promise<Answer<unknown>> =>
  answer(async () => {
    const { core } = await connect()
    const { namespace } = about
    const now = new Date()
    const body = {
      metadata: { namespace, generateName: 'shared-workspace-' },
      involvedObject: about,
      type,
      reason,
      message: message.slice(0, MESSAGE_LENGTH),
      source: { component: 'shared-workspace' },
      reportingComponent: 'shared-workspace',
      reportingInstance: pod,
      firstTimestamp: now,
      lastTimestamp: now,
      count: 1,
    }
    return core.createNamespacedEvent({ namespace, body })
  })

async function answer<T>(ask: () => Promise<unknown>): Promise<Answer<T>> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<Answer<T>>((resolve) => {
    timer = setTimeout(() => resolve({ denied: `no answer within ${DEADLINE_MS / 1000} s` }), DEADLINE_MS)
  })
  try {
    return await Promise.race([ask().then((found) => ({ found: found as T })), late])
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined
    if (code === 404) return { missing: true }
    return { denied: typeof code === 'number' ? `HTTP ${code}` : String(error) }
  } finally {
    clearTimeout(timer)
  }
}
