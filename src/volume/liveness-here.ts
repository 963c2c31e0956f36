import type { Liveness } from './liveness.ts'
import { kubeLiveness } from './liveness-kube.ts'
import { localLiveness } from './liveness-local.ts'

/** The liveness that fits where this process runs: the Kubernetes API in a pod, flock in a local run. */
export function livenessHere(local: boolean, root: string): Liveness {
  return local ? localLiveness(root) : kubeLiveness()
}
