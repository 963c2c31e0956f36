/** Artifacts between nodes without any volume: by the coordinator, in a namespace that is restricted. */
import { randomBytes } from 'node:crypto'
import { loadAll } from 'js-yaml'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { generatedFiles } from '../../src/catalog/files.ts'
import { SERVICE_ACCOUNT } from '../../src/catalog/names.ts'
import { POD_TEMPLATE } from '../../src/catalog/sample.ts'
import { DEFAULTS } from '../../src/catalog/settings.ts'
import { CONFIG_MAP, SECRETS, settingName } from '../../src/configuration.ts'
import type { StepContract } from '../../src/contract.ts'
import { COORDINATOR, settingEnv } from '../../src/coordinator/contract.ts'
import { contract as artifactRetrieve } from '../../src/steps/artifact-retrieve/contract.ts'
import { contract as artifactStore } from '../../src/steps/artifact-store/contract.ts'
import { create, eventually, getJson, kubectl, type KubeItem } from './support/cluster.ts'
import { logOfRun, PATIENT, resultsOf, script } from './support/runs.ts'

const NAMESPACE = 'e2e-coordinator'
const TOKEN = randomBytes(24).toString('hex')

const files = generatedFiles(DEFAULTS)
const objectsIn = (path: string): object[] => loadAll(files.get(path)!) as object[]

interface Deployment {
  kind: string
  spec: {
    template: {
      spec: {
        volumes: Record<string, unknown>[]
        containers: [{ env: { name: string; value: string }[] }]
      }
    }
  }
}

/** maintenance/coordinator.yaml on an emptyDir, changed as docs/coordinator.md says. */
function coordinatorWithoutClaim(): object[] {
  const objects = objectsIn('maintenance/coordinator.yaml') as Deployment[]
  const deployment = objects.find(({ kind }) => kind === 'Deployment')!
  const { volumes, containers } = deployment.spec.template.spec
  volumes[volumes.findIndex(({ name }) => name === 'disk')] = { name: 'disk', emptyDir: { sizeLimit: '1Gi' } }
  containers[0].env.find(({ name }) => name === settingEnv('CAPACITY'))!.value = '900Mi'
  return objects.filter(({ kind }) => kind !== 'PersistentVolumeClaim')
}

const remove = () => kubectl('delete', 'namespace', NAMESPACE, '--ignore-not-found', '--wait=true')

const ready = () =>
  kubectl('wait', '-n', NAMESPACE, `deployment/${COORDINATOR}`, '--for=condition=Available', '--timeout=180s')

beforeAll(async () => {
  await remove()
  const labels = { 'pod-security.kubernetes.io/enforce': 'restricted' }
  await create('', { apiVersion: 'v1', kind: 'Namespace', metadata: { name: NAMESPACE, labels } })
  const { secret, key } = SECRETS.COORDINATOR_TOKEN
  await create(
    NAMESPACE,
    { apiVersion: 'v1', kind: 'Secret', metadata: { name: secret }, stringData: { [key]: TOKEN } },
    ...objectsIn('maintenance/rights.yaml'),
    ...[artifactStore, artifactRetrieve].flatMap(({ name, version }) =>
      objectsIn(`stepactions/${name}/${version}/${name}.yaml`),
    ),
    ...coordinatorWithoutClaim(),
  )
  // This cluster has no DNS.
  const service = await getJson<{ spec: { clusterIP: string } }>(NAMESPACE, 'service', COORDINATOR)
  const data = {
    [settingName('ARTIFACT_STRATEGY')]: 'coordinator',
    [settingName('ARTIFACT_COORDINATOR_URL')]: `http://${service.spec.clusterIP}:8080`,
  }
  await create(NAMESPACE, { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: CONFIG_MAP }, data })
  await ready()
})
afterAll(remove)

const step = (name: string, contract: StepContract, params: Record<string, string | string[]>): object => ({
  name,
  ref: { name: contract.name },
  params: Object.entries(params).map(([key, value]) => ({ name: key, value })),
  computeResources: contract.resources,
})
const results = ['artifact', 'strategy'].map((name) => ({ name, value: `$(steps.store.results.${name})` }))

async function run(spec: object): Promise<KubeItem> {
  const [created] = await create(NAMESPACE, {
    apiVersion: 'tekton.dev/v1',
    kind: 'PipelineRun',
    metadata: { generateName: 'e2e-' },
    spec: { taskRunTemplate: { serviceAccountName: SERVICE_ACCOUNT, podTemplate: POD_TEMPLATE }, ...spec },
  })
  const name = created!.split('/')[1]!
  const item = await eventually(
    `${name} has ended`,
    async () => {
      const item = await getJson(NAMESPACE, 'pipelinerun', name)
      const status = item.status?.conditions?.[0]?.status ?? 'Unknown'
      return status === 'Unknown' ? undefined : item
    },
    480,
  )
  expect(item.status.conditions![0]!.status, await logOfRun(NAMESPACE, name)).toBe('True')
  return item
}

const retrieving = (artifacts: string[]) => [
  step('retrieve', artifactRetrieve, { artifacts, path: '/workspace/in' }),
  script('show', 'echo "got: $(cat in/file.txt), $(wc -c < in/large.bin) bytes"'),
]

describe('a coordinator', PATIENT, () => {
  let artifact: string

  it('hands an artifact from one node to another, without a claim, a volume or a right on the API', async () => {
    const nodes = await getJson<{ items: KubeItem[] }>('', 'nodes')
    const [here, there] = nodes.items.map(({ metadata }) => metadata.labels['kubernetes.io/hostname']!)
    const on = (pipelineTaskName: string, host: string) => ({
      pipelineTaskName,
      podTemplate: { ...POD_TEMPLATE, nodeSelector: { 'kubernetes.io/hostname': host } },
    })
    const make = script(
      'make',
      'mkdir out && printf "made on $NODE" > out/file.txt && head -c 20000000 /dev/urandom > out/large.bin',
      { NODE: here! },
    )
    const store = step('store', artifactStore, {
      path: '/workspace/out',
      output: 'out',
      strategy: 'coordinator',
    })
    const params = [{ name: 'artifact', type: 'string' }]
    const item = await run({
      pipelineSpec: {
        tasks: [
          { name: 'produce', taskSpec: { steps: [make, store], results } },
          {
            name: 'consume',
            params: [{ name: 'artifact', value: '$(tasks.produce.results.artifact)' }],
            taskSpec: { params, steps: retrieving(['$(params.artifact)']) },
          },
        ],
        results: ['artifact', 'strategy'].map((name) => ({
          name,
          value: `$(tasks.produce.results.${name})`,
        })),
      },
      taskRunSpecs: [on('produce', here!), on('consume', there ?? here!)],
    })
    artifact = resultsOf(item)['artifact']!
    expect(resultsOf(item)['strategy']).toBe('coordinator')
    expect(artifact).toMatch(/^coordinator:\/\/[\d.]+:8080\/[^/]+\/produce\/out@sha256:[0-9a-f]{64}$/)
    const log = await logOfRun(NAMESPACE, item.metadata.name)
    expect(log).toContain(`got: made on ${here}, 20000000 bytes`)
    expect(log).not.toContain(TOKEN)
    if (there) expect(log).toContain(there)
    const { items: claims } = await getJson<{ items: KubeItem[] }>(NAMESPACE, 'pvc')
    expect(claims).toEqual([])
  })

  it('goes on after a restart with what it had, as the fallback of a volume that is not there', async () => {
    const selector = ['-l', `app.kubernetes.io/name=${COORDINATOR}`]
    const pods = () =>
      getJson<{
        items: { spec: object; status: { containerStatuses: { restartCount: number; ready: boolean }[] } }[]
      }>(NAMESPACE, 'pods', ...selector)
    // The node's own SIGTERM: with the pod its emptyDir stays.
    await kubectl('exec', '-n', NAMESPACE, `deploy/${COORDINATOR}`, '--', 'kill', '1')
    const [pod] = await eventually('the coordinator has started again', async () => {
      const { items } = await pods()
      const container = items[0]?.status.containerStatuses[0]
      return items.length === 1 && container!.restartCount > 0 && container!.ready ? items : undefined
    })
    expect(JSON.stringify(pod!.spec)).not.toContain('serviceAccountToken')
    const before = await kubectl('logs', '-n', NAMESPACE, `deploy/${COORDINATOR}`, '--previous')
    expect(before).toContain('"event":"coordinator-stopped"')
    expect(before).toContain('"event":"entry-published"')
    expect(before).not.toContain(TOKEN)

    const store = step('store', artifactStore, {
      path: '/workspace/in',
      output: 'again',
      strategy: 'pvc, coordinator',
    })
    const item = await run({
      pipelineSpec: {
        tasks: [{ name: 'again', taskSpec: { steps: [...retrieving([artifact]), store], results } }],
        results: [{ name: 'strategy', value: '$(tasks.again.results.strategy)' }],
      },
    })
    expect(resultsOf(item)['strategy']).toBe('coordinator')
    expect(await logOfRun(NAMESPACE, item.metadata.name)).toMatch(/falling back from pvc to coordinator/)
  })
})
