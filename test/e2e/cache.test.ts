/** Runs that share a cache from node to node, as Pipelines-as-Code starts them. */
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { CLAIM, SERVICE_ACCOUNT } from '../../src/catalog/names.ts'
import { POD_TEMPLATE } from '../../src/catalog/sample.ts'
import { contract as cacheRestore } from '../../src/steps/cache-restore/contract.ts'
import { contract as cacheSave } from '../../src/steps/cache-save/contract.ts'
import { create, getJson, type KubeItem } from './support/cluster.ts'
import { makeNamespace, type TestNamespace } from './support/namespace.ts'
import {
  logOfRun,
  PATIENT,
  pipeline,
  resultsOf,
  script,
  step,
  succeeded,
  task,
  taskRunsOf,
} from './support/runs.ts'

const NAMESPACE = 'e2e-cache'
const PAC = 'pipelinesascode.tekton.dev'

let space: TestNamespace
let hosts: string[]
beforeAll(async () => {
  space = await makeNamespace(NAMESPACE)
  const { items } = await getJson<{ items: KubeItem[] }>(NAMESPACE, 'nodes')
  hosts = items.map((node) => node.metadata.labels['kubernetes.io/hostname']!)
})
afterAll(() => space?.remove())

/** What Pipelines-as-Code writes on a PipelineRun. */
const PUSH = { 'repo-url': 'https://github.com/acme/shop', branch: 'refs/heads/main', 'event-type': 'push' }
const PULL = { ...PUSH, branch: 'main', 'event-type': 'pull_request', 'pull-request': '7' }

/** A build as users write it: restore, build, save, in one pod. */
const build = (lock: string) =>
  task('build', {
    params: { lock },
    steps: [
      script('clone', 'mkdir src && printf %s "$LOCK" > src/package-lock.json', { LOCK: '$(params.lock)' }),
      step('restore', cacheRestore, {
        sourcePath: '/workspace/src',
        path: '/workspace/npm',
        key: "npm-{{hashFiles('**/package-lock.json')}}",
        restoreKeys: 'npm-',
      }),
      script('build', 'umask 002; mkdir -p npm/deep && printf %s "$LOCK" > "npm/deep/$LOCK" && ls npm/deep', {
        LOCK: '$(params.lock)',
      }),
      step('save', cacheSave, { path: '/workspace/npm', key: '$(steps.restore.results.key)' }),
    ],
    results: { hit: 'restore', files: 'restore', saved: 'save', 'matched-key': 'restore' },
  })

/** Runs it on one of the nodes, for that change. @returns its results, and the node that it ran on */
async function run(lock: string, change: Record<string, string>, node: number) {
  const annotations = Object.fromEntries(
    Object.entries(change).map(([key, value]) => [`${PAC}/${key}`, value]),
  )
  const podTemplate = {
    ...POD_TEMPLATE,
    nodeSelector: { 'kubernetes.io/hostname': hosts[node % hosts.length] },
  }
  const [created] = await create(NAMESPACE, {
    apiVersion: 'tekton.dev/v1',
    kind: 'PipelineRun',
    metadata: { generateName: 'cache-', annotations },
    spec: {
      ...pipeline([build(lock)]),
      taskRunTemplate: { serviceAccountName: SERVICE_ACCOUNT, podTemplate },
      workspaces: [{ name: 'shared', persistentVolumeClaim: { claimName: CLAIM } }],
    },
  })
  const name = created!.split('/')[1]!
  await succeeded(space, name)
  const taskRun = (await taskRunsOf(NAMESPACE, name))['build']!
  const pod = await getJson(NAMESPACE, 'pod', taskRun.status.podName!)
  return { ...resultsOf(taskRun), node: pod.spec.nodeName, log: await logOfRun(NAMESPACE, name) }
}

describe('a cache', PATIENT, () => {
  it('is shared by runs on both nodes, and by a pull request with its target branch', async () => {
    const first = await run('one', PUSH, 0)
    expect(first).toMatchObject({ hit: 'none', files: '0', saved: 'true' })
    const second = await run('one', PUSH, 1)
    expect(second).toMatchObject({ hit: 'exact', files: '1', saved: 'false' })
    expect(second.node).not.toBe(first.node)

    const pull = await run('two', PULL, 0)
    expect(pull).toMatchObject({ hit: 'partial', files: '1', saved: 'true' })
    expect(await run('two', PULL, 1)).toMatchObject({ hit: 'exact', files: '2', saved: 'false' })
    // What a pull request saved is not for the branch.
    expect(await run('two', PUSH, 1)).toMatchObject({ hit: 'partial', files: '1', saved: 'true' })
    expect(await run('one', {}, 0)).toMatchObject({ hit: 'none' })

    const scopes = join(space.volume, 'shared/cache')
    expect(readdirSync(scopes).sort()).toEqual([
      'default',
      'github.com_2facme_2fshop_217',
      'github.com_2facme_2fshop_23main',
    ])
    const keys = readdirSync(join(scopes, 'github.com_2facme_2fshop_23main'))
    expect(keys).toHaveLength(2)
    for (const key of keys)
      expect(existsSync(join(scopes, 'github.com_2facme_2fshop_23main', key, '0.0'))).toBe(true)
  })
})
