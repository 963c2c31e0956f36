import { execFileSync } from 'node:child_process'
import { mkdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { CLAIM, SERVICE_ACCOUNT } from '../../../src/catalog/names.ts'
import { POD_TEMPLATE } from '../../../src/catalog/sample.ts'
import { create, eventually, getJson, kubectl, logOf, type KubeItem } from './cluster.ts'

const root = join(import.meta.dirname, '../../..')
const GROUP = 65532

export interface TestNamespace {
  name: string
  /** The volume's folder, as this machine sees it. */
  volume: string
  /** Starts a PipelineRun or TaskRun. @returns its name. */
  start: (kind: 'PipelineRun' | 'TaskRun', spec: object) => Promise<string>
  /** Waits until a run has ended. */
  ended: (kind: 'PipelineRun' | 'TaskRun', name: string, seconds?: number) => Promise<KubeItem>
  /** A whole TaskRun of one step of the product: its end, its log. */
  runTask: (spec: object) => Promise<{ run: KubeItem; log: string; exitCode: number | undefined }>
  remove: () => Promise<void>
}

/** A file system that is mounted at one path on this machine and at another on the nodes. */
export interface FileSystem {
  here: string
  onNodes: string
}

/**
 * A namespace with the maintenance bundle and everything of the catalog installed by the one file, a volume that
 * both nodes see, Pod Security, a quota and limits. The volume is a folder of the machine's own disk, or of `on`.
 */
export async function makeNamespace(
  name: string,
  security: 'restricted' | 'baseline' = 'restricted',
  { sharesVolumeOf, on }: { sharesVolumeOf?: TestNamespace; on?: FileSystem } = {},
): Promise<TestNamespace> {
  const folder = `shared-workspace-e2e-${name}`
  const volume = sharesVolumeOf?.volume ?? join(on?.here ?? tmpdir(), folder)
  const remove = async (): Promise<void> => {
    await kubectl('delete', 'namespace', name, '--ignore-not-found', '--wait=true')
    await kubectl('delete', 'pv', name, '--ignore-not-found', '--wait=true')
    if (!sharesVolumeOf) rmSync(volume, { recursive: true, force: true })
  }
  await remove()
  if (!sharesVolumeOf) {
    mkdirSync(volume)
    // A hostPath takes no fsGroup, so the folder is given to the group as a real driver would.
    execFileSync('chgrp', [String(GROUP), volume])
    execFileSync('chmod', ['2775', volume])
  }
  await create(
    '',
    {
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata: { name, labels: { 'pod-security.kubernetes.io/enforce': security } },
    },
    {
      apiVersion: 'v1',
      kind: 'PersistentVolume',
      metadata: { name },
      spec: {
        capacity: { storage: '20Gi' },
        accessModes: ['ReadWriteMany'],
        persistentVolumeReclaimPolicy: 'Retain',
        storageClassName: '',
        claimRef: { namespace: name, name: CLAIM },
        hostPath: { path: on ? join(on.onNodes, folder) : volume },
      },
    },
  )
  await create(
    name,
    {
      apiVersion: 'v1',
      kind: 'ResourceQuota',
      metadata: { name: 'quota' },
      spec: {
        hard: {
          'requests.cpu': '20',
          'requests.memory': '20Gi',
          'limits.cpu': '80',
          'limits.memory': '40Gi',
          pods: '60',
        },
      },
    },
    {
      apiVersion: 'v1',
      kind: 'LimitRange',
      metadata: { name: 'limits' },
      spec: {
        limits: [
          {
            type: 'Container',
            max: { cpu: '2', memory: '1Gi' },
            default: { cpu: '500m', memory: '256Mi' },
            defaultRequest: { cpu: '10m', memory: '32Mi' },
          },
        ],
      },
    },
  )
  await kubectl('apply', '-n', name, '-f', join(root, 'maintenance/install.yaml'))
  await eventually(
    'the claim is bound',
    async () => (await getJson(name, 'pvc', CLAIM)).status.phase === 'Bound' || undefined,
  )

  const start: TestNamespace['start'] = async (kind, spec) => {
    const common =
      kind === 'PipelineRun'
        ? { taskRunTemplate: { serviceAccountName: SERVICE_ACCOUNT, podTemplate: POD_TEMPLATE } }
        : { serviceAccountName: SERVICE_ACCOUNT, podTemplate: POD_TEMPLATE }
    const workspaces = [{ name: 'shared', persistentVolumeClaim: { claimName: CLAIM } }]
    const object = {
      apiVersion: 'tekton.dev/v1',
      kind,
      metadata: { generateName: 'e2e-' },
      spec: { ...common, workspaces, ...spec },
    }
    const [created] = await create(name, object)
    return created!.split('/')[1]!
  }
  const ended: TestNamespace['ended'] = (kind, run, seconds = 240) =>
    eventually(
      `${kind} ${run} has ended`,
      async () => {
        const item = await getJson(name, kind.toLowerCase(), run)
        return item.status?.conditions?.[0] && item.status.conditions[0].status !== 'Unknown'
          ? item
          : undefined
      },
      seconds,
    )
  const runTask: TestNamespace['runTask'] = async (spec) => {
    const run = await ended('TaskRun', await start('TaskRun', spec))
    const log = run.status.podName ? await logOf(name, run.status.podName) : ''
    const failed = run.status.steps?.find((step) => step.terminated && step.terminated.exitCode !== 0)
    return {
      run,
      log,
      exitCode:
        failed?.terminated?.exitCode ?? (run.status.conditions![0]!.status === 'True' ? 0 : undefined),
    }
  }
  return { name, volume, start, ended, runTask, remove }
}

/** Sets Tekton's coschedule flag, and waits until the controller has read it. */
export async function setCoschedule(value: 'workspaces' | 'disabled'): Promise<void> {
  const patch = JSON.stringify({ data: { coschedule: value } })
  await kubectl(
    'patch',
    'configmap',
    'feature-flags',
    '-n',
    'tekton-pipelines',
    '--type',
    'merge',
    '-p',
    patch,
  )
  await new Promise((done) => setTimeout(done, 2000))
}
