/** What Kubernetes is told, too: an event of the run outlives the logs of its pods, and `kubectl describe` shows it. */
import { describe, type Emit, type Event } from '../events.ts'
import type { Identity, OwnerKind } from '../identity.ts'
import { isInCluster, postEvent, type KubeEvent } from '../platform/kube.ts'

/** By the reason that Kubernetes shows: what was taken from somebody, who may want to know why. */
const REASONS: Partial<Record<Event['event'], string>> = {
  'lock-taken-over': 'LockTakenOver',
  'lock-forced': 'LockForced',
  'lock-lost': 'LockLost',
}

const API_VERSION: Partial<Record<OwnerKind, string>> = {
  PipelineRun: 'tekton.dev/v1',
  TaskRun: 'tekton.dev/v1',
  Pod: 'v1',
}

export interface KubeEvents {
  tell: Emit
  /** When all that was told has arrived. It is told as well as can be: without the right to, the log has it alone. */
  told(): Promise<void>
}

export function kubeEvents(
  { run, pod }: Identity,
  post: ((event: KubeEvent) => Promise<unknown>) | undefined = isInCluster() ? postEvent : undefined,
): KubeEvents {
  const telling: Promise<unknown>[] = []
  return {
    tell(event) {
      const reason = REASONS[event.event]
      const apiVersion = API_VERSION[run.kind]
      if (!post || !reason || !apiVersion) return
      const about = { apiVersion, ...run }
      telling.push(post({ type: 'Warning', reason, message: describe(event), about, pod: pod.name }))
    },
    async told() {
      await Promise.allSettled(telling)
    },
  }
}
