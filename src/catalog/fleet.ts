/** An example of a fleet: ten workers of one tool on the volume, each under an agent, behind a Service. */
import { IDENTITY_ENV } from '../identity.ts'
import { PROGRAM, settingEnv, SETTINGS, TOOL_AGENT, type SettingName } from '../tool-agent/contract.ts'
import type { Settings } from './settings.ts'
import { SECURITY_CONTEXT } from './step.ts'

/** What makes it this fleet; the rest is the same for all. */
export interface Fleet {
  /** Its name, and that of its Deployment and Service. */
  name: string
  replicas: number
  tool: string
  version: string
  /** The worker, as a command for sh. */
  command: string
  /** Where it serves, and where it says that it is healthy. */
  port: number
  healthPath: string
}

/** Prometheus' blackbox exporter: one binary that serves and keeps nothing. */
export const EXAMPLE: Fleet = {
  name: 'probes',
  replicas: 10,
  tool: 'blackbox_exporter',
  version: '0.25.0',
  command: 'exec blackbox_exporter --config.file="$TOOL_PATH/../content/blackbox.yml"',
  port: 9115,
  healthPath: '/-/healthy',
}

const OWN = '/workspace/own'
const GRACE_S = 60

const labels = { 'app.kubernetes.io/part-of': 'tekton-shared-workspace' }

export function fleet(settings: Settings, it: Fleet = EXAMPLE): object[] {
  const selector = { 'app.kubernetes.io/name': it.name }
  return [
    {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { name: it.name, labels },
      spec: {
        replicas: it.replicas,
        // Upgrades of the tool restart no pod; this is for changes of the Deployment itself.
        strategy: { type: 'RollingUpdate', rollingUpdate: { maxUnavailable: 1, maxSurge: 1 } },
        selector: { matchLabels: selector },
        template: { metadata: { labels: { ...labels, ...selector } }, spec: pod(settings, it) },
      },
    },
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: it.name, labels },
      spec: { selector, ports: [{ name: 'http', port: it.port, targetPort: 'http' }] },
    },
  ]
}

function pod({ image, claim, fsGroup }: Settings, it: Fleet): object {
  return {
    automountServiceAccountToken: false,
    enableServiceLinks: false,
    // More than the worker may take to end.
    terminationGracePeriodSeconds: GRACE_S,
    securityContext: {
      runAsNonRoot: true,
      seccompProfile: { type: 'RuntimeDefault' },
      ...(fsGroup ? { fsGroup: Number(fsGroup), fsGroupChangePolicy: 'OnRootMismatch' } : {}),
    },
    // The kubelet would make what is missing above the mounted folder as root, for root alone to write.
    initContainers: [
      {
        name: 'own-folder',
        image,
        command: ['sh', '-c', 'umask 0002; mkdir -p "$FOLDER"'],
        env: [
          ...identity(/^POD_NAME$/),
          { name: 'FOLDER', value: `${SETTINGS.FOLDER.default}/${ownFolder(it)}` },
        ],
        resources: { requests: { cpu: '10m', memory: '16Mi' }, limits: { cpu: '500m', memory: '64Mi' } },
        securityContext: SECURITY_CONTEXT,
        volumeMounts: [{ name: 'shared', mountPath: SETTINGS.FOLDER.default }],
      },
    ],
    containers: [
      {
        name: TOOL_AGENT,
        image,
        command: ['node', PROGRAM],
        args: ['sh', '-c', it.command],
        env: environment(it),
        ports: [{ name: 'http', containerPort: it.port }],
        // One that is switching refuses connections: it is out of the Service by the next probe.
        readinessProbe: {
          httpGet: { path: it.healthPath, port: 'http' },
          periodSeconds: 2,
          timeoutSeconds: 5,
          failureThreshold: 1,
        },
        resources: { requests: { cpu: '50m', memory: '96Mi' }, limits: { cpu: '1', memory: '512Mi' } },
        securityContext: SECURITY_CONTEXT,
        volumeMounts: [
          // The worker can change neither tools nor what other consumers and runs have there.
          { name: 'shared', mountPath: SETTINGS.FOLDER.default, readOnly: true },
          { name: 'shared', mountPath: OWN, subPathExpr: ownFolder(it) },
          { name: 'tmp', mountPath: '/tmp' },
        ],
      },
    ],
    volumes: [
      { name: 'shared', persistentVolumeClaim: { claimName: claim } },
      { name: 'tmp', emptyDir: {} },
    ],
  }
}

/** On the volume; Kubernetes fills in the name. */
const ownFolder = ({ name }: Fleet): string => `fleets/${name}/consumers/$(POD_NAME)`

const identity = (which: RegExp): object[] =>
  Object.entries(IDENTITY_ENV)
    .filter(([variable]) => which.test(variable))
    .map(([variable, fieldPath]) => ({ name: variable, valueFrom: { fieldRef: { fieldPath } } }))

/** Who it is, and every setting, so that it can be seen and changed there. */
function environment({ name, tool, version, port, healthPath }: Fleet): object[] {
  const own: Partial<Record<SettingName, string>> = {
    OWN_FOLDER: OWN,
    FLEET: name,
    TOOL: tool,
    VERSION: version,
    HEALTH: `http://127.0.0.1:${port}${healthPath}`,
  }
  return [
    ...identity(/^(POD|NODE)_/),
    ...(Object.keys(SETTINGS) as SettingName[]).map((setting) => ({
      name: settingEnv(setting),
      value: own[setting] ?? SETTINGS[setting].default,
    })),
  ]
}
