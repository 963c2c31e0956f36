/** One tool for ten pods on two nodes, from a server in the cluster: how often it is downloaded, and what they say. */
import { createHash } from 'node:crypto'
import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { SERVICE_ACCOUNT } from '../../src/catalog/names.ts'
import { POD_TEMPLATE } from '../../src/catalog/sample.ts'
import { DEFAULTS } from '../../src/catalog/settings.ts'
import { SECURITY_CONTEXT } from '../../src/catalog/step.ts'
import { contract as toolInstall } from '../../src/steps/tool-install/contract.ts'
import { create, eventually, getJson, kubectl, logOf, type KubeItem } from './support/cluster.ts'
import { errorIn, eventsIn, logsOfSteps } from './support/logs.ts'
import { makeNamespace, type TestNamespace } from './support/namespace.ts'
import { PATIENT, pipeline, resultsOf, script, step, succeeded, task, taskRunsOf } from './support/runs.ts'

const BYTES = 32 * 1024 * 1024
const CONTENT = Buffer.from('#!/bin/sh\necho greet 1.0.0; exit\n'.padEnd(BYTES, '#\n'))
const SHA256 = createHash('sha256').update(CONTENT).digest('hex')
/** Slow enough that all pods want it at once; it logs one line for each request, and how much of it was sent. */
const SERVER = `
const content = Buffer.from('#!/bin/sh\\necho greet 1.0.0; exit\\n'.padEnd(${BYTES}, '#\\n'))
require('node:http').createServer(async (request, response) => {
  const [, start = 0] = /^bytes=(\\d+)-$/.exec(request.headers.range ?? '') ?? []
  let at = Number(start)
  response.writeHead(at ? 206 : 200, {
    etag: '"1"',
    'content-length': content.length - at,
    ...(at ? { 'content-range': 'bytes ' + at + '-' + (content.length - 1) + '/' + content.length } : {}),
  })
  let sent = 0
  for (; at < content.length && !response.destroyed; at += 262144) {
    const piece = content.subarray(at, at + 262144)
    sent += piece.length
    response.write(piece)
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  response.end()
  console.log(JSON.stringify({ event: 'served', from: Number(start), sent }))
}).listen(8080, '0.0.0.0')
`

let space: TestNamespace
let hosts: string[]
let url: string
beforeAll(async () => {
  space = await makeNamespace('e2e-tools')
  const { items } = await getJson<{ items: KubeItem[] }>('', 'nodes')
  hosts = items.map((node) => node.metadata.labels['kubernetes.io/hostname']!)
  await create(space.name, {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'files' },
    spec: {
      ...POD_TEMPLATE,
      containers: [
        {
          name: 'files',
          image: DEFAULTS.image,
          command: ['node', '-e', SERVER],
          securityContext: SECURITY_CONTEXT,
        },
      ],
    },
  })
  await kubectl('wait', '-n', space.name, 'pod/files', '--for=condition=Ready', '--timeout=180s')
  const { status } = await getJson<{ status: { podIP: string } }>(space.name, 'pod', 'files')
  url = `http://${status.podIP}:8080/greet`
})
afterAll(() => space?.remove())

const params = (more: Record<string, string> = {}) =>
  Object.entries({
    name: 'greet',
    version: '1.0.0',
    sha256: SHA256,
    urls: [url],
    verify: 'greet',
    ...more,
  }).map(([name, value]) => ({ name, value }))

const startOn = (node: number, more: Record<string, string> = {}): Promise<string> =>
  space.start('TaskRun', {
    serviceAccountName: SERVICE_ACCOUNT,
    podTemplate: { ...POD_TEMPLATE, nodeSelector: { 'kubernetes.io/hostname': hosts[node % hosts.length] } },
    taskRef: { name: toolInstall.name },
    params: params(more),
  })

const served = async () => eventsIn(await logOf(space.name, 'files'), 'served')

describe('a tool', PATIENT, () => {
  it('is downloaded once for ten pods on two nodes', async () => {
    const names = await Promise.all(Array.from({ length: 10 }, (_, n) => startOn(n)))
    const runs = await Promise.all(names.map((name) => space.ended('TaskRun', name, 480)))
    expect(runs.map(({ status }) => status.conditions![0]!.status)).toEqual(runs.map(() => 'True'))
    const results = runs.map(resultsOf)
    expect(results.filter(({ hit }) => hit === 'downloaded')).toHaveLength(1)
    expect(new Set(results.map(({ volume }) => volume)).size).toBe(1)
    expect(results.reduce((sum, { bytes }) => sum + Number(bytes), 0)).toBe(BYTES)
    expect(
      await eventually('the server has told', async () =>
        (await served()).length > 0 ? served() : undefined,
      ),
    ).toMatchObject([{ from: 0, sent: BYTES }])
    expect(diskUsed()).toBeLessThanOrEqual(1.15 * BYTES)
    const nodes = await Promise.all(
      runs.map(async ({ status }) => (await getJson(space.name, 'pod', status.podName!)).spec.nodeName),
    )
    expect(new Set(nodes).size).toBe(2)
  })

  it('is there for a step that runs it, and for a task that only waits', async () => {
    const run = await space.start(
      'PipelineRun',
      pipeline([
        task('use', {
          steps: [
            step('install', toolInstall, {
              name: 'greet',
              version: '1.0.0',
              urls: [url],
              sha256: SHA256,
              role: 'wait',
            }),
            script('run', '"$TOOL/greet"', { TOOL: '$(steps.install.results.path)' }),
          ],
          results: { hit: 'install', bytes: 'install' },
        }),
      ]),
    )
    await succeeded(space, run)
    const { use } = await taskRunsOf(space.name, run)
    expect(resultsOf(use!)).toMatchObject({ hit: 'shared', bytes: '0' })
    expect((await logsOfSteps(space.name, use!))['run']).toContain('greet 1.0.0')
    expect(await served()).toHaveLength(1)
  })

  it('of another digest is refused', async () => {
    const name = await startOn(0, { sha256: '0'.repeat(64) })
    const run = await space.ended('TaskRun', name)
    expect(errorIn(await logOf(space.name, run.status.podName!))).toMatchObject({ code: 'DIGEST_MISMATCH' })
  })

  it('of which the downloader is deleted midway is brought by another, which goes on', async () => {
    const before = (await served()).length
    const version = { version: '2.0.0' }
    const first = await startOn(0, version)
    const pod = await eventually(
      'the first pod',
      async () => (await getJson(space.name, 'taskrun', first)).status?.podName,
    )
    await eventually('its download', async () => eventsIn(await logOf(space.name, pod), 'lock-acquired')[0])
    const second = await startOn(1, version)
    const other = await eventually(
      'the second pod',
      async () => (await getJson(space.name, 'taskrun', second)).status?.podName,
    )
    await eventually('its waiting', async () => eventsIn(await logOf(space.name, other), 'tool-waiting')[0])
    await kubectl('delete', 'taskrun', '-n', space.name, first, '--wait=false')
    const run = await space.ended('TaskRun', second, 480)
    expect(run.status.conditions![0]!.status, await logOf(space.name, other)).toBe('True')
    const requests = await eventually('both requests', async () => {
      const all = (await served()).slice(before)
      return all.length === 2 ? all : undefined
    })
    expect(Math.max(...requests.map(({ from }) => Number(from)))).toBeGreaterThan(0)
  })
})

function diskUsed(): number {
  const tools = join(space.volume, 'tools')
  const files = readdirSync(tools, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile())
  return files.reduce((sum, { parentPath, name }) => sum + statSync(join(parentPath, name)).size, 0)
}
