/** The coordinator's claim, Deployment, Service and network policy, for namespaces without a ReadWriteMany volume. */
import { COORDINATOR, PROGRAM, settingEnv, SETTINGS, type SettingName } from '../coordinator/contract.ts'
import { CONFIG_MAP, settingName } from '../configuration.ts'
import type { Settings } from './settings.ts'
import { SECURITY_CONTEXT } from './step.ts'

const labels = { 'app.kubernetes.io/part-of': 'tekton-shared-workspace' }
const selector = { 'app.kubernetes.io/name': COORDINATOR }
const PORT = Number(SETTINGS.PORT.default)

/** Everything but the Secret, which nobody should find in a file (docs/coordinator.md). */
export const coordinator = (settings: Settings): object[] => [
  {
    apiVersion: 'v1',
    kind: 'PersistentVolumeClaim',
    metadata: { name: COORDINATOR, labels },
    spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: settings.size } } },
  },
  {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: COORDINATOR, labels },
    spec: {
      // One disk has one coordinator: the old pod ends before the new one starts.
      replicas: 1,
      strategy: { type: 'Recreate' },
      selector: { matchLabels: selector },
      template: { metadata: { labels: { ...labels, ...selector } }, spec: pod(settings) },
    },
  },
  {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: COORDINATOR, labels },
    spec: { selector, ports: [{ name: 'http', port: PORT, targetPort: 'http' }] },
  },
  {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'NetworkPolicy',
    metadata: { name: COORDINATOR, labels },
    spec: {
      podSelector: { matchLabels: selector },
      policyTypes: ['Ingress', 'Egress'],
      // The pods of its namespace, and nobody else; it asks nobody for anything.
      ingress: [{ from: [{ podSelector: {} }], ports: [{ port: PORT }] }],
      egress: [],
    },
  },
]

function pod({ image, fsGroup }: Settings): object {
  const probe = (path: string) => ({ httpGet: { path, port: 'http' }, timeoutSeconds: 5 })
  return {
    automountServiceAccountToken: false,
    enableServiceLinks: false,
    terminationGracePeriodSeconds: 30,
    securityContext: {
      runAsNonRoot: true,
      seccompProfile: { type: 'RuntimeDefault' },
      ...(fsGroup ? { fsGroup: Number(fsGroup), fsGroupChangePolicy: 'OnRootMismatch' } : {}),
    },
    containers: [
      {
        name: 'coordinator',
        image,
        command: ['node', PROGRAM],
        env: environment(),
        ports: [{ name: 'http', containerPort: PORT }],
        // Counting what is on a large disk takes a while.
        startupProbe: { ...probe('/readyz'), periodSeconds: 2, failureThreshold: 150 },
        readinessProbe: { ...probe('/readyz'), periodSeconds: 5 },
        livenessProbe: { ...probe('/healthz'), periodSeconds: 20, failureThreshold: 6 },
        resources: { requests: { cpu: '100m', memory: '128Mi' }, limits: { cpu: '2', memory: '512Mi' } },
        securityContext: SECURITY_CONTEXT,
        volumeMounts: [
          { name: 'disk', mountPath: SETTINGS.FOLDER.default },
          { name: 'tokens', mountPath: SETTINGS.TOKENS.default, readOnly: true },
        ],
      },
    ],
    volumes: [
      { name: 'disk', persistentVolumeClaim: { claimName: COORDINATOR } },
      { name: 'tokens', secret: { secretName: COORDINATOR } },
    ],
  }
}

/** Every setting, so that it can be seen and changed there; how long artifacts stay is the namespace's to say. */
function environment(): object[] {
  const days = settingName('ARTIFACT_CLEANUP_DAYS')
  return (Object.keys(SETTINGS) as SettingName[]).map((name) =>
    name === 'CLEANUP_DAYS'
      ? {
          name: settingEnv(name),
          valueFrom: { configMapKeyRef: { name: CONFIG_MAP, key: days, optional: true } },
        }
      : { name: settingEnv(name), value: SETTINGS[name].default },
  )
}
