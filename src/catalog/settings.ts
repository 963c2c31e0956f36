import { CLAIM } from './names.ts'

/** What a platform engineer chooses when generating the YAML; the checked-in files have the defaults. */
export interface Settings {
  /** The step image, as the cluster's nodes name it. */
  image: string
  /** The name of the claim that the volume is had by. */
  claim: string
  /** How much the claim asks for, as Kubernetes writes quantities. */
  size: string
  /** The claim's storage class; empty: the cluster's default. It must offer ReadWriteMany. */
  storageClass: string
  /** The group that owns the volume, for the maintenance pods; empty: the platform assigns it (OpenShift). */
  fsGroup: string
}

export const DEFAULTS: Settings = {
  image: 'registry.local/tekton-shared-workspace:0.1.0',
  claim: CLAIM,
  size: '10Gi',
  storageClass: '',
  fsGroup: '',
}
