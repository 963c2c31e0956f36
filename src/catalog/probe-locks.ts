/** The Job that finds out whether locks on the volume exclude across nodes: two pods on two nodes. */
import { PROBE_LOCKS, PROGRAM, settingEnv, type SettingName } from '../probe-locks/contract.ts'
import type { Settings } from './settings.ts'
import { SECURITY_CONTEXT } from './step.ts'

const labels = { 'app.kubernetes.io/part-of': 'tekton-shared-workspace' }
const selector = { 'app.kubernetes.io/name': PROBE_LOCKS }
const MOUNT = '/workspace/shared'

/** To be made by `kubectl create`: each probe is a Job of its own. */
export const probeLocks = (settings: Settings): object => ({
  apiVersion: 'batch/v1',
  kind: 'Job',
  metadata: { generateName: `${PROBE_LOCKS}-`, labels },
  spec: {
    completionMode: 'Indexed',
    completions: 2,
    parallelism: 2,
    // One side alone finds nothing.
    backoffLimit: 0,
    activeDeadlineSeconds: 900,
    ttlSecondsAfterFinished: 24 * 3600,
    template: { metadata: { labels: { ...labels, ...selector } }, spec: pod(settings) },
  },
})

function pod({ image, claim, fsGroup }: Settings): object {
  return {
    automountServiceAccountToken: false,
    restartPolicy: 'Never',
    affinity: {
      podAntiAffinity: {
        requiredDuringSchedulingIgnoredDuringExecution: [
          { labelSelector: { matchLabels: selector }, topologyKey: 'kubernetes.io/hostname' },
        ],
      },
    },
    securityContext: {
      runAsNonRoot: true,
      seccompProfile: { type: 'RuntimeDefault' },
      ...(fsGroup ? { fsGroup: Number(fsGroup), fsGroupChangePolicy: 'OnRootMismatch' } : {}),
    },
    containers: [
      {
        name: PROBE_LOCKS,
        image,
        command: ['node', PROGRAM],
        env: environment(),
        resources: { requests: { cpu: '50m', memory: '64Mi' }, limits: { cpu: '1', memory: '256Mi' } },
        securityContext: SECURITY_CONTEXT,
        volumeMounts: [{ name: 'shared', mountPath: MOUNT }],
      },
    ],
    volumes: [{ name: 'shared', persistentVolumeClaim: { claimName: claim } }],
  }
}

function environment(): object[] {
  const field = (fieldPath: string) => ({ valueFrom: { fieldRef: { fieldPath } } })
  const values: Record<SettingName, object> = {
    FOLDER: { value: MOUNT },
    SESSION: field("metadata.labels['batch.kubernetes.io/controller-uid']"),
    SIDE: field("metadata.annotations['batch.kubernetes.io/job-completion-index']"),
    NODE: field('spec.nodeName'),
    // For the other pod to be scheduled, and its image to be pulled.
    PATIENCE: { value: '5m' },
  }
  return Object.entries(values).map(([name, value]) => ({ name: settingEnv(name as SettingName), ...value }))
}
