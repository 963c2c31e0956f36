/** What a namespace needs beside the Tasks: the claim, the rights, and the CronJob that applies retention. */
import { contract as cleanup } from '../steps/workspace-cleanup/contract.ts'
import { paramEnv, stepCommand, workspaceEnv } from '../contract.ts'
import { MAINTENANCE, SERVICE_ACCOUNT } from './names.ts'
import type { Settings } from './settings.ts'
import { configurationEnv, defaultOf, identityEnv, SECURITY_CONTEXT } from './step.ts'

const labels = { 'app.kubernetes.io/part-of': 'tekton-shared-workspace' }

export const claim = ({ claim: name, size, storageClass }: Settings): object => ({
  apiVersion: 'v1',
  kind: 'PersistentVolumeClaim',
  metadata: { name, labels },
  spec: {
    accessModes: ['ReadWriteMany'],
    resources: { requests: { storage: size } },
    ...(storageClass ? { storageClassName: storageClass } : {}),
  },
})

/**
 * The least that liveness needs, whether owners are finished and pods of theirs left; locks that are Leases; and that
 * a run tells of a lock which it took over.
 */
const RULES = [
  { apiGroups: ['tekton.dev'], resources: ['pipelineruns'], verbs: ['get'] },
  { apiGroups: ['tekton.dev'], resources: ['taskruns'], verbs: ['get', 'list'] },
  { apiGroups: [''], resources: ['pods'], verbs: ['get', 'list'] },
  { apiGroups: [''], resources: ['events'], verbs: ['create'] },
  {
    apiGroups: ['coordination.k8s.io'],
    resources: ['leases'],
    verbs: ['get', 'list', 'create', 'update', 'patch'],
  },
]

export const rights = (): object[] => {
  const accounts = [SERVICE_ACCOUNT, MAINTENANCE]
  return [
    ...accounts.map((name) => ({ apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name, labels } })),
    {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'Role',
      metadata: { name: 'shared-workspace-liveness', labels },
      rules: RULES,
    },
    {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'RoleBinding',
      metadata: { name: 'shared-workspace-liveness', labels },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: 'shared-workspace-liveness' },
      subjects: accounts.map((name) => ({ kind: 'ServiceAccount', name })),
    },
  ]
}

export const cronJob = (settings: Settings): object => ({
  apiVersion: 'batch/v1',
  kind: 'CronJob',
  metadata: { name: MAINTENANCE, labels },
  spec: {
    schedule: '0 */6 * * *',
    concurrencyPolicy: 'Forbid',
    successfulJobsHistoryLimit: 3,
    failedJobsHistoryLimit: 3,
    jobTemplate: {
      spec: {
        backoffLimit: 1,
        activeDeadlineSeconds: 5 * 3600,
        template: { metadata: { labels }, spec: maintenancePod(settings) },
      },
    },
  },
})

function maintenancePod({ image, claim: claimName, fsGroup }: Settings): object {
  const mountPath = '/workspace/shared'
  return {
    serviceAccountName: MAINTENANCE,
    restartPolicy: 'Never',
    securityContext: {
      runAsNonRoot: true,
      seccompProfile: { type: 'RuntimeDefault' },
      ...(fsGroup ? { fsGroup: Number(fsGroup), fsGroupChangePolicy: 'OnRootMismatch' } : {}),
    },
    containers: [
      {
        name: cleanup.name,
        image,
        command: stepCommand(cleanup.name),
        env: [
          ...Object.entries(cleanup.params).map(([name, definition]) => ({
            name: paramEnv(name),
            value: defaultOf(definition, 'task'),
          })),
          { name: workspaceEnv('shared'), value: mountPath },
          ...configurationEnv(cleanup),
          ...identityEnv(),
        ],
        resources: cleanup.resources,
        securityContext: SECURITY_CONTEXT,
        volumeMounts: [{ name: 'shared', mountPath }],
      },
    ],
    volumes: [{ name: 'shared', persistentVolumeClaim: { claimName } }],
  }
}
