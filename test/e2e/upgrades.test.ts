/** A fleet on two nodes: installed by a Pipeline, served by a Deployment, upgraded and rolled back under load. */
import { createHash } from 'node:crypto'
import { buffer } from 'node:stream/consumers'
import { gzipSync } from 'node:zlib'
import { pack } from 'tar-stream'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { fleet } from '../../src/catalog/fleet.ts'
import { DEFAULTS } from '../../src/catalog/settings.ts'
import { SECURITY_CONTEXT } from '../../src/catalog/step.ts'
import type { FleetStatus } from '../../src/upgrades/index.ts'
import { create, eventually, getJson, kubectl, logOf, type KubeItem } from './support/cluster.ts'
import { exitCodesOf } from './support/logs.ts'
import { makeNamespace, type TestNamespace } from './support/namespace.ts'
import { logOfRun, PATIENT, resultsOf, succeeded, taskRunsOf } from './support/runs.ts'

const TOOL = 'echo'
const FLEET = 'echoes'
const PORT = 8080
const REPLICAS = 4
const READ_ONLY = /read-only file system/i

/** A server that answers with its version; version 3 never gets that far. */
const program = (version: string): string => `#!/usr/bin/env node
if (${version} === 3) process.exit(3)
const server = require('node:http').createServer((request, response) => {
  setTimeout(() => response.end('${version}'), 20)
}).listen(${PORT})
process.on('SIGTERM', () => setTimeout(() => server.close(() => process.exit(0)), 1000))
`

/** Asks all the while, three times where it gets no answer, and counts. The Service may give it the same worker again. */
const CLIENT = `
const { URL: url } = process.env
const done = { requests: 0, failed: 0, retried: 0, versions: {} }
const ask = async () => {
  done.requests++
  for (let attempt = 0; attempt < 3; attempt++) {
    const signal = AbortSignal.timeout(5000)
    const answer = await fetch(url, { signal, headers: { connection: 'close' } }).then((it) => it.text()).catch(() => '')
    if (answer) return void (done.versions[answer] = (done.versions[answer] ?? 0) + 1)
    done.retried++
    await new Promise((resolve) => setTimeout(resolve, 250))
  }
  done.failed++
}
setInterval(() => void ask(), 100)
setInterval(() => console.log(JSON.stringify(done)), 1000)
`

async function archive(version: string): Promise<Buffer> {
  const tar = pack()
  tar.entry({ name: 'bin/echo-server', mode: 0o755 }, program(version))
  tar.finalize()
  return gzipSync(await buffer(tar))
}

let space: TestNamespace
let source: string
const archives: Record<string, Buffer> = {}

const container = (name: string, script: string, more: object): object => ({
  name,
  image: DEFAULTS.image,
  command: ['node', '-e', script],
  securityContext: SECURITY_CONTEXT,
  ...more,
})
const pod = (name: string, spec: object): object => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name, labels: { app: name } },
  spec: {
    automountServiceAccountToken: false,
    terminationGracePeriodSeconds: 1,
    securityContext: { runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } },
    ...spec,
  },
})

/** A server of files from a ConfigMap. @returns its URL; this cluster has no DNS */
async function serveArchives(): Promise<string> {
  const script = `require('node:http').createServer((request, response) =>
    require('node:fs').createReadStream('/files' + request.url).on('error', () => response.writeHead(404).end()).pipe(response)
  ).listen(${PORT})`
  const binaryData = Object.fromEntries(
    Object.entries(archives).map(([version, data]) => [`${version}.tar.gz`, data.toString('base64')]),
  )
  await create(
    space.name,
    { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'files' }, binaryData },
    pod('source', {
      containers: [container('source', script, { volumeMounts: [{ name: 'files', mountPath: '/files' }] })],
      volumes: [{ name: 'files', configMap: { name: 'files' } }],
    }),
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'source' },
      spec: { selector: { app: 'source' }, ports: [{ port: PORT }] },
    },
  )
  await kubectl('wait', '-n', space.name, 'pod/source', '--for=condition=Ready', '--timeout=180s')
  return `http://${await clusterIp('source')}:${PORT}`
}

const clusterIp = async (service: string): Promise<string> =>
  (await getJson<{ spec: { clusterIP: string } }>(space.name, 'service', service)).spec.clusterIP

/** The Deployment and Service of maintenance/fleet.yaml, for this tool, spread over the nodes. */
function echoes(): object[] {
  const [deployment, service] = fleet(DEFAULTS, {
    name: FLEET,
    replicas: REPLICAS,
    tool: TOOL,
    version: '1',
    command: 'exec echo-server',
    port: PORT,
    healthPath: '/',
  }) as [{ spec: { selector: object; template: { spec: object } } }, object]
  const { selector, template } = deployment.spec
  Object.assign(template.spec, {
    topologySpreadConstraints: [
      {
        maxSkew: 1,
        topologyKey: 'kubernetes.io/hostname',
        whenUnsatisfiable: 'DoNotSchedule',
        labelSelector: selector,
      },
    ],
  })
  return [deployment, service]
}

const upgradeTo = (version: string): Promise<string> => {
  const params = {
    fleet: FLEET,
    tool: TOOL,
    version,
    urls: [`${source}/${version}.tar.gz`],
    sha256: createHash('sha256').update(archives[version]!).digest('hex'),
  }
  return space.start('PipelineRun', {
    pipelineRef: { name: 'tool-upgrade' },
    params: Object.entries(params).map(([name, value]) => ({ name, value })),
  })
}

async function status(): Promise<FleetStatus> {
  const params = { fleet: FLEET, tool: TOOL, mode: 'status', format: 'json' }
  const { log, exitCode } = await space.runTask({
    taskRef: { name: 'tool-upgrade' },
    params: Object.entries(params).map(([name, value]) => ({ name, value })),
  })
  expect(exitCode, log).toBe(0)
  return JSON.parse(log.split('\n').find((line) => line.startsWith('{"v":1,'))!) as FleetStatus
}

const workers = async (): Promise<KubeItem[]> => {
  const selector = `app.kubernetes.io/name=${FLEET}`
  return (await getJson<{ items: KubeItem[] }>(space.name, 'pods', '-l', selector)).items
}

const available = () =>
  kubectl('wait', '-n', space.name, `deployment/${FLEET}`, '--for=condition=Available', '--timeout=240s')

interface Counts {
  requests: number
  failed: number
  versions: Record<string, number>
}

/** What the clients have counted so far. */
const counts = async (): Promise<Counts> =>
  JSON.parse((await logOf(space.name, 'client')).trim().split('\n').at(-1)!) as Counts

beforeAll(async () => {
  for (const version of ['1', '2', '3']) archives[version] = await archive(version)
  space = await makeNamespace('e2e-upgrades')
  source = await serveArchives()
})
afterAll(() => space?.remove())

describe('a fleet', { ...PATIENT, timeout: 900_000 }, () => {
  it('starts on the version that the Pipeline has installed, on both nodes, with its tools read-only', async () => {
    const first = await succeeded(space, await upgradeTo('1'))
    expect(resultsOf(first)).toMatchObject({ phase: 'done', from: '', to: '1' })
    await create(space.name, ...echoes())
    await available()
    await eventually('all are healthy', async () => {
      const { consumers } = await status()
      return consumers.length === REPLICAS && consumers.every(({ phase }) => phase === 'healthy')
    })
    const pods = await workers()
    expect(new Set(pods.map(({ spec }) => spec.nodeName)).size).toBe(2)
    const inWorker = (script: string): Promise<string> =>
      kubectl('exec', '-n', space.name, pods[0]!.metadata.name, '--', 'sh', '-c', script)
    const tool = '/workspace/shared/tools/echo/1/*/content/bin/echo-server'
    // The worker owns the file and may make it writable, but for the mount.
    await expect(inWorker(`chmod u+w ${tool} && echo x >> $(echo ${tool})`)).rejects.toThrow(READ_ONLY)
    await expect(inWorker(`echo x > $(dirname ${tool})/added`)).rejects.toThrow(READ_ONLY)
    await expect(inWorker(`echo x > /workspace/shared/fleets/${FLEET}/target/9.9`)).rejects.toThrow(READ_ONLY)
    await inWorker('echo x > /workspace/own/work/file')
  })

  it('is upgraded by the Pipeline without a failed request, and without a restarted pod', async () => {
    const URL = `http://${await clusterIp(FLEET)}:${PORT}/`
    await create(
      space.name,
      pod('client', { containers: [container('client', CLIENT, { env: [{ name: 'URL', value: URL }] })] }),
    )
    await kubectl('wait', '-n', space.name, 'pod/client', '--for=condition=Ready', '--timeout=180s')
    await eventually('load', async () => (await counts()).requests > 20)
    const before = (await workers()).map(({ metadata }) => metadata.uid).sort()
    const run = await succeeded(space, await upgradeTo('2'))
    expect(resultsOf(run)).toMatchObject({ phase: 'done', from: '1', to: '2', upgraded: String(REPLICAS) })
    await eventually('all answers are new', async () => ((await counts()).versions['2'] ?? 0) > 50)
    const { failed, versions } = await counts()
    expect([failed, Object.keys(versions)]).toEqual([0, ['1', '2']])
    expect((await workers()).map(({ metadata }) => metadata.uid).sort()).toEqual(before)
    const { consumers } = await status()
    expect(consumers.map(({ version, phase }) => `${version} ${phase}`)).toEqual(
      Array.from({ length: REPLICAS }, () => '2 healthy'),
    )
  })

  it('goes back from a version that does not start, and says who', async () => {
    const name = await upgradeTo('3')
    const run = await space.ended('PipelineRun', name, 480)
    expect(run.status.conditions![0]!.status, await logOfRun(space.name, name)).toBe('False')
    const { upgrade } = await taskRunsOf(space.name, name)
    expect(exitCodesOf(upgrade!)).toEqual({ 'tool-upgrade': 55 })
    const { target, consumers } = await status()
    expect(target).toMatchObject({
      phase: 'rolled-back',
      version: '3',
      previous: '2',
      code: 'SERVICE_FAILED',
    })
    expect(consumers.every(({ version, phase }) => version === '2' && phase === 'healthy')).toBe(true)
    expect((await counts()).failed).toBe(0)
    // Whoever asks for what the fleet went back to finds it there.
    const again = await succeeded(space, await upgradeTo('2'))
    expect(resultsOf(again)).toMatchObject({ phase: 'done', to: '2', upgraded: String(REPLICAS) })
  })

  it('takes in who comes later, and forgets who was told to stop', async () => {
    const [gone] = await workers()
    await kubectl('delete', 'pod', '-n', space.name, gone!.metadata.name, '--wait=true')
    await available()
    await eventually('the new one is healthy', async () => {
      const { consumers } = await status()
      const names = consumers.map(({ name }) => name)
      return (
        consumers.length === REPLICAS &&
        !names.includes(gone!.metadata.name) &&
        consumers.every(({ version, phase }) => version === '2' && phase === 'healthy')
      )
    })
  })
})
