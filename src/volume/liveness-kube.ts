import type { Owner } from '../identity.ts'
import { kubeHere, type Answer, type Kube, type KubeObject } from '../platform/kube.ts'
import type { Liveness, Stopping, Verdict } from './liveness.ts'

const PLURAL = { PipelineRun: 'pipelineruns', TaskRun: 'taskruns', Pod: 'pods' } as const
const LABEL = { PipelineRun: 'tekton.dev/pipelineRunUID', TaskRun: 'tekton.dev/taskRunUID' } as const
const HINT = 'grant get on pipelineruns and taskruns and list on pods (the maintenance bundle has the Role)'

/**
 * Liveness by the Kubernetes API: the owner first, then its pods, since a finished owner starts no new ones.
 * A pod on an unreachable node still counts as running.
 */
export function kubeLiveness(kube: Kube | undefined = kubeHere()): Liveness {
  return async (owner, exceptPod) => {
    if (owner.kind === 'LocalRun')
      return { state: 'unknown', why: `${owner.name} was a local run on some machine` }
    if (!kube) return { state: 'unknown', why: 'there is no Kubernetes API here' }
    const object = await kube.get(PLURAL[owner.kind], owner.namespace, owner.name)
    if ('denied' in object) return denied(`get ${PLURAL[owner.kind]}`, object)
    const ended = endOf(owner, object)
    if (owner.kind === 'Pod') return ended ? gone(ended) : alive(`pod ${owner.name} is not finished`)
    const others = ended ?? (exceptPod ? await restFinished(kube, owner, object, exceptPod) : undefined)
    if (typeof others === 'object') return others
    if (!others) return alive(`${owner.kind} ${owner.name} is not finished`)
    return podsGone(kube, owner, others, exceptPod)
  }
}

/** A pod that is being deleted and has not ended yet is stopping. */
export function kubeStopping(kube: Kube | undefined = kubeHere()): Stopping {
  return async (owner, exceptPod) => {
    // A plain Pod is its own asker, and what is not in a cluster has no pods.
    if (owner.kind === 'Pod' || owner.kind === 'LocalRun') return { pods: [] }
    if (!kube) return { unknown: 'there is no Kubernetes API here' }
    const pods = await listPods(kube, owner)
    if (!('found' in pods)) return { unknown: whyDenied('list pods', pods) }
    const stopping = pods.found.filter(
      (pod) => pod.metadata?.deletionTimestamp && pod.metadata.uid !== exceptPod && !isFinished(pod),
    )
    return { pods: stopping.map((pod) => pod.metadata?.name ?? '') }
  }
}

/** How the owner ended, in words; undefined while it has not. */
function endOf(owner: Owner, object: Answer<KubeObject>): string | undefined {
  const title = `${owner.kind} ${owner.name}`
  if (!('found' in object)) return `${title} is deleted`
  // A new object of the same name is somebody else.
  if (object.found.metadata?.uid !== owner.uid) return `${title} of uid ${owner.uid} is deleted`
  return isFinished(object.found) ? `${title} is finished` : undefined
}

function isFinished(object: KubeObject): boolean {
  const { phase, conditions, completionTime } = (object.status ?? {}) as Status
  if (phase) return phase === 'Succeeded' || phase === 'Failed'
  const succeeded = conditions?.find((condition) => condition.type === 'Succeeded')
  return completionTime !== undefined && succeeded !== undefined && succeeded.status !== 'Unknown'
}

interface Status {
  /** Pods. */
  phase?: string
  conditions?: { type: string; status: string }[]
  completionTime?: string
  /** PipelineRuns. */
  childReferences?: { kind?: string; name?: string; pipelineTaskName?: string }[]
  skippedTasks?: { name: string }[]
  pipelineSpec?: { tasks?: { name: string }[]; finally?: { name: string }[] }
}

/**
 * Whether all of a running PipelineRun but the asker's own TaskRun is over: every task of the pipeline is a
 * finished TaskRun or was skipped, so nothing can still start. That is how a `finally` task may know.
 */
async function restFinished(
  kube: Kube,
  owner: Owner,
  object: Answer<KubeObject>,
  ownPod: string,
): Promise<string | Verdict | undefined> {
  if (!('found' in object) || owner.kind !== 'PipelineRun') return undefined
  const status = (object.found.status ?? {}) as Status
  const selector = `${LABEL.PipelineRun}=${owner.uid}`
  const [taskRuns, pods] = [
    await kube.list('taskruns', owner.namespace, selector),
    await listPods(kube, owner),
  ]
  if (!('found' in taskRuns)) return denied('list taskruns', taskRuns)
  if (!('found' in pods)) return denied('list pods', pods)
  const self = pods.found.find((pod) => pod.metadata?.uid === ownPod)?.metadata?.labels?.[
    'tekton.dev/taskRun'
  ]
  const children = status.childReferences ?? []
  const known = new Set([
    ...children.map((c) => c.pipelineTaskName),
    ...(status.skippedTasks ?? []).map((t) => t.name),
  ])
  const tasks = [...(status.pipelineSpec?.tasks ?? []), ...(status.pipelineSpec?.finally ?? [])]
  const open = tasks.find((task) => !known.has(task.name))
  if (open) return alive(`task ${open.name} of ${owner.name} has not started`)
  for (const child of children) {
    if (child.name === self && self !== undefined) continue
    const taskRun = taskRuns.found.find((item) => item.metadata?.name === child.name)
    if (child.kind !== 'TaskRun' || (taskRun && !isFinished(taskRun)))
      return alive(`${child.name} is not finished`)
  }
  return `every other task of ${owner.name} is finished`
}

async function podsGone(kube: Kube, owner: Owner, ended: string, exceptPod?: string): Promise<Verdict> {
  const pods = await listPods(kube, owner)
  if (!('found' in pods)) return denied('list pods', pods)
  const running = pods.found.find((pod) => pod.metadata?.uid !== exceptPod && !isFinished(pod))
  if (running) return alive(`${ended}, but pod ${running.metadata?.name} is left running`)
  return gone(`${ended} and no ${exceptPod ? 'other ' : ''}pod of it is left running`)
}

function listPods(kube: Kube, owner: Owner): Promise<Answer<KubeObject[]>> {
  const label = LABEL[owner.kind as keyof typeof LABEL]
  return kube.list('pods', owner.namespace, `${label}=${owner.uid}`)
}

const alive = (why: string): Verdict => ({ state: 'alive', why })
const gone = (evidence: string): Verdict => ({ state: 'gone', evidence })
type Refusal = Exclude<Answer<unknown>, { found: unknown }>
const denied = (what: string, answer: Refusal): Verdict => ({
  state: 'unknown',
  why: whyDenied(what, answer),
})
const whyDenied = (what: string, answer: Refusal): string =>
  `${what}: ${'denied' in answer ? answer.denied : 'not found'}; ${HINT}`
