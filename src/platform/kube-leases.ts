/**
 * Leases of the Kubernetes API (coordination.k8s.io/v1) in one namespace. What passes by itself (no answer, 429, 5xx)
 * is tried again for a while. So a write whose answer was lost may be made twice, and the second answer is then a
 * conflict: the caller reads what is there.
 */
import { WorkspaceError } from '../errors.ts'
import { jitter, monotonic, sleep } from './clock.ts'
import { connect, isInCluster } from './kube.ts'

export interface Lease {
  metadata: {
    name: string
    uid?: string
    /** What `replace` compares. */
    resourceVersion?: string
    labels?: Record<string, string>
    annotations?: Record<string, string>
  }
  spec?: {
    holderIdentity?: string
    leaseTransitions?: number
    /** With six digits of a second's fraction, as the API wants them. */
    acquireTime?: string
    renewTime?: string
  }
}

/** Each throws WorkspaceError LOCK_BACKEND_UNAVAILABLE where there is no answer, or a refusal. */
export interface Leases {
  get(name: string): Promise<Lease | undefined>
  list(labelSelector: string): Promise<Lease[]>
  /** @returns the Lease as it is now; undefined where the name is taken. */
  create(lease: Lease): Promise<Lease | undefined>
  /** @returns the Lease as it is now; undefined where it changed since it was read. */
  replace(lease: Lease): Promise<Lease | undefined>
  /** Sets annotations (null removes one), whatever else changes meanwhile. @returns false where there is no such Lease. */
  annotate(name: string, annotations: Record<string, string | null>): Promise<boolean>
}

const API = { group: 'coordination.k8s.io', version: 'v1', plural: 'leases' }
const OBJECT = { apiVersion: `${API.group}/${API.version}`, kind: 'Lease' }
const ANSWER_MS = 10_000
/** An API server that is replaced is away for about so long. */
const PATIENCE_MS = 30_000
const RETRY_MS = 500

export interface LeasesOptions {
  /** A file that says how to reach the API; without one, as the pod's service account. */
  kubeconfig?: string
  /** For tests: how long to try again. */
  patienceMs?: number
}

export function leasesIn(
  namespace: string,
  { kubeconfig, patienceMs = PATIENCE_MS }: LeasesOptions = {},
): Leases {
  let client: ReturnType<typeof connectLeases> | undefined
  const at = (name: string) => ({ ...API, namespace, name })
  /** `no`: the statuses that are answers. */
  const ask = async <T>(
    what: string,
    no: readonly number[],
    request: (api: Api) => Promise<unknown>,
  ): Promise<T | undefined> => {
    const connected = async () => request(await (client ??= connectLeases(kubeconfig)))
    return (await insist(`${what} in namespace ${namespace}`, no, patienceMs, connected)) as T | undefined
  }
  return {
    get: (name) => ask(`get lease ${name}`, [404], ({ api }) => api.getNamespacedCustomObject(at(name))),
    async list(labelSelector) {
      const found = await ask<{ items: Lease[] }>('list leases', [], ({ api }) =>
        api.listNamespacedCustomObject({ ...API, namespace, labelSelector }),
      )
      return found!.items
    },
    create: (lease) =>
      ask(`create lease ${lease.metadata.name}`, [409], ({ api }) =>
        api.createNamespacedCustomObject({ ...API, namespace, body: { ...OBJECT, ...lease } }),
      ),
    replace: (lease) =>
      ask(`update lease ${lease.metadata.name}`, [404, 409], ({ api }) =>
        api.replaceNamespacedCustomObject({ ...at(lease.metadata.name), body: { ...OBJECT, ...lease } }),
      ),
    async annotate(name, annotations) {
      const body = { metadata: { annotations } }
      const found = await ask(`patch lease ${name}`, [404], ({ api, asMergePatch }) =>
        api.patchNamespacedCustomObject({ ...at(name), body }, asMergePatch),
      )
      return found !== undefined
    },
  }
}

/** As `leasesIn`, by the service account of this pod. @throws WorkspaceError LOCK_BACKEND_UNAVAILABLE outside of a cluster. */
export function leasesHere(namespace: string): Leases {
  if (isInCluster()) return leasesIn(namespace)
  throw new WorkspaceError(
    'LOCK_BACKEND_UNAVAILABLE',
    'there is no Kubernetes API here to keep locks as Leases',
    {
      expected: 'a pod of a cluster',
      found: 'a process outside of one',
      hint: 'keep the lock on the volume: backend: volume',
    },
  )
}

type Api = Awaited<ReturnType<typeof connectLeases>>

async function connectLeases(kubeconfig: string | undefined) {
  const { PatchStrategy, setHeaderOptions } = await import('@kubernetes/client-node')
  const { custom } = await connect(kubeconfig)
  return { api: custom, asMergePatch: setHeaderOptions('Content-Type', PatchStrategy.MergePatch) }
}

/** @returns undefined for a status that is among `no`. */
async function insist(
  what: string,
  no: readonly number[],
  patienceMs: number,
  request: () => Promise<unknown>,
): Promise<unknown> {
  const until = monotonic() + patienceMs
  for (;;) {
    try {
      return await inTime(request())
    } catch (error) {
      const status = statusOf(error)
      if (status !== undefined && no.includes(status)) return undefined
      // A patch gets a conflict where many come at once.
      const passes = status === undefined || [409, 429].includes(status) || status >= 500
      if (!passes || monotonic() >= until) throw unavailable(what, error, passes)
    }
    await sleep(jitter(RETRY_MS))
  }
}

async function inTime<T>(answer: Promise<T>): Promise<T> {
  const answered = new AbortController()
  const late = sleep(ANSWER_MS, answered.signal).then(
    () => {
      throw new Error(`no answer within ${ANSWER_MS / 1000} s`)
    },
    // Answered: the race is over.
    () => answer,
  )
  try {
    return await Promise.race([answer, late])
  } finally {
    answered.abort()
  }
}

/** The HTTP status that the API server answered with; undefined where it did not. */
function statusOf(error: unknown): number | undefined {
  const status = error instanceof Error && 'code' in error ? error.code : undefined
  return typeof status === 'number' ? status : undefined
}

function unavailable(what: string, error: unknown, passes: boolean): WorkspaceError {
  const status = statusOf(error)
  return new WorkspaceError('LOCK_BACKEND_UNAVAILABLE', `cannot ${what}`, {
    expected: 'the Kubernetes API to keep locks as Leases',
    found: status === undefined ? reasonOf(error) : `HTTP ${status}${said(error)}`,
    hint: hintFor(status, passes),
    cause: error,
  })
}

function hintFor(status: number | undefined, passes: boolean): string {
  if (status === 401 || status === 403)
    return 'give the service account the Role of the maintenance bundle: get, list, create, update and patch on leases'
  return passes
    ? 'look at the API server and the network of this node; then run the task again'
    : 'see what the API server says; or keep the lock on the volume (backend: volume)'
}

/** Where a request failed underway, the reason is below what the client says. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  return error.cause instanceof Error ? `${error.message}: ${error.cause.message}` : error.message
}

/** What the API server said of it, which names the right that is missing. */
function said(error: unknown): string {
  const body = error instanceof Error && 'body' in error ? error.body : undefined
  const [, message] = /"message":"((?:[^"\\]|\\.)*)"/.exec(String(body)) ?? []
  return message ? `: ${message.replaceAll('\\"', '"')}` : ''
}
