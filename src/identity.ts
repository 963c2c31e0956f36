/** Who runs: the run, task and pod of this process, from the environment that the downward API fills. */
import { WorkspaceError } from './errors.ts'

export type OwnerKind = 'PipelineRun' | 'TaskRun' | 'Pod' | 'LocalRun'

/** What a folder, an artifact or a lock belongs to. Never a process id: those mean nothing on another node. */
export interface Owner {
  kind: OwnerKind
  namespace: string
  name: string
  uid: string
}

export interface Identity {
  /** The PipelineRun, or what stands in for it: the TaskRun, the plain Pod, the local run. `uid` is the run id. */
  run: Owner
  /** The TaskRun, or what stands in for it. */
  taskRun: Owner
  /** The folder name of this task's outputs: the pipeline task, with the TaskRun's name where it is matrixed. */
  task: string
  /** The attempt: a retry of a TaskRun is a new pod. */
  pod: { name: string; uid: string }
  node: string
}

/** The environment variables of the step contract, and the downward API's field that fills each. */
export const IDENTITY_ENV = {
  TEKTON_PIPELINE_RUN: "metadata.labels['tekton.dev/pipelineRun']",
  TEKTON_PIPELINE_RUN_UID: "metadata.labels['tekton.dev/pipelineRunUID']",
  TEKTON_PIPELINE_TASK: "metadata.labels['tekton.dev/pipelineTask']",
  TEKTON_TASK_RUN: "metadata.labels['tekton.dev/taskRun']",
  TEKTON_TASK_RUN_UID: "metadata.labels['tekton.dev/taskRunUID']",
  POD_NAMESPACE: 'metadata.namespace',
  POD_NAME: 'metadata.name',
  POD_UID: 'metadata.uid',
  NODE_NAME: 'spec.nodeName',
} as const

/** Set by the local runner, where no Kubernetes object owns anything. */
export const LOCAL_ENV = 'SHARED_WORKSPACE_LOCAL'

type Env = Record<string, string | undefined>

/** Reads the identity. @throws WorkspaceError USAGE where not even a pod is known. */
export function readIdentity(env: Env): Identity {
  const namespace = env['POD_NAMESPACE'] || 'default'
  const pod = { name: env['POD_NAME'] ?? '', uid: env['POD_UID'] ?? '' }
  if (!pod.name || !pod.uid) {
    throw new WorkspaceError('USAGE', 'this process does not know which pod it is', {
      expected: 'POD_NAME and POD_UID in the environment, by the downward API',
      found: `POD_NAME=${JSON.stringify(pod.name)}, POD_UID=${JSON.stringify(pod.uid)}`,
      hint: 'take the step from the generated Task or StepAction, or copy its env to your pod',
    })
  }
  const local = Boolean(env[LOCAL_ENV])
  const owner = (kind: OwnerKind, name?: string, uid?: string): Owner | undefined =>
    name && uid ? { kind: local ? 'LocalRun' : kind, namespace, name, uid } : undefined
  const asPod: Owner = { kind: local ? 'LocalRun' : 'Pod', namespace, ...pod }
  const taskRun = owner('TaskRun', env['TEKTON_TASK_RUN'], env['TEKTON_TASK_RUN_UID']) ?? asPod
  const run = owner('PipelineRun', env['TEKTON_PIPELINE_RUN'], env['TEKTON_PIPELINE_RUN_UID']) ?? taskRun
  return { run, taskRun, task: taskName(env, run, taskRun), pod, node: env['NODE_NAME'] ?? '' }
}

function taskName(env: Env, run: Owner, taskRun: Owner): string {
  const pipelineTask = env['TEKTON_PIPELINE_TASK']
  if (!pipelineTask) return taskRun.name
  return isMatrixed(pipelineTask, run.name, taskRun.name) ? `${pipelineTask}.${taskRun.name}` : pipelineTask
}

/**
 * Tekton names a TaskRun `<run>-<task>`, and `<run>-<task>-<n>` for each combination of a matrix; where that
 * is over 63 characters, a hash replaces the end of `<run>` and the rest stays.
 */
function isMatrixed(pipelineTask: string, runName: string, taskRunName: string): boolean {
  const plain = `-${pipelineTask}`
  if (taskRunName === runName + plain) return false
  if (taskRunName.startsWith(runName + plain)) return true
  return !taskRunName.endsWith(plain)
}
