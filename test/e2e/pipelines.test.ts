/** The pipelines of the catalog, and everything that is generated, on a real Tekton. */
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { stripTypeScriptTypes } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { zstdDecompressSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { CLAIM, SERVICE_ACCOUNT } from '../../src/catalog/names.ts'
import { POD_TEMPLATE } from '../../src/catalog/sample.ts'
import { create, getJson, kubectl, tkn, type KubeItem } from './support/cluster.ts'
import { makeNamespace, setCoschedule, type TestNamespace } from './support/namespace.ts'
import {
  BIND_SHARED,
  logOfRun,
  pipeline,
  resultsOf,
  SHARED,
  succeeded,
  taskRunsOf,
  PATIENT,
} from './support/runs.ts'
import { filesOf, sha256 } from './support/trees.ts'

const root = join(import.meta.dirname, '../..')
const NAMESPACE = 'e2e-pipelines'
/** Holds Tasks for others, and runs nothing. */
const CATALOG = 'e2e-pipelines-catalog'
/** Where nothing is ever created, so that a dry run meets nothing that another test creates meanwhile. */
const EMPTY = 'e2e-pipelines-empty'

let space: TestNamespace
beforeAll(async () => {
  const remove = kubectl('delete', 'namespace', CATALOG, EMPTY, '--ignore-not-found', '--wait=true')
  ;[space] = await Promise.all([makeNamespace(NAMESPACE), remove])
  for (const name of [CATALOG, EMPTY]) {
    await create('', { apiVersion: 'v1', kind: 'Namespace', metadata: { name } })
  }
})
afterAll(async () => {
  await setCoschedule('workspaces')
  await kubectl('delete', 'namespace', CATALOG, EMPTY, '--ignore-not-found', '--wait=false')
  await space?.remove()
})

const scratch = mkdtempSync(join(tmpdir(), 'shared-workspace-e2e-scratch-'))
afterAll(() => rmSync(scratch, { recursive: true, force: true }))
const temporaryFolder = (): string => mkdtempSync(join(scratch, 'folder-'))

/** The folder that a run says it was archived to. */
function archiveOf(run: KubeItem): string {
  const path = resultsOf(run)['archive-path']!
  expect(path).toMatch(new RegExp(`^completed/\\d{4}-\\d\\d-\\d\\d/${run.metadata.uid}$`))
  expect(readdirSync(join(space.volume, 'pipelines'))).not.toContain(run.metadata.uid)
  return join(space.volume, path)
}

/** The files of the demo's package, as they lie in the archived run's final-output. */
function publishedFiles(archive: string): Record<string, string> {
  expect(readdirSync(join(archive, 'final-output'))).toEqual(['build.tgz'])
  const folder = temporaryFolder()
  execFileSync('tar', ['-C', folder, '-xzf', join(archive, 'final-output/build.tgz')])
  return filesOf(folder)
}

/** What the demo's default build should make of a source: worked out here once more, from its description. */
function builtFrom(source: string): Record<string, string> {
  const built: Record<string, string> = {}
  for (const [path, hash] of Object.entries(filesOf(source))) {
    if (!/(?<!\.d)\.ts$/.test(path)) built[path] = hash
    else {
      const text = readFileSync(join(source, path), 'utf8')
      built[path.replace(/\.ts$/, '.js')] = sha256(stripTypeScriptTypes(text))
    }
  }
  const sums = Object.entries(built).map(([path, hash]) => `${hash}  ${path}`)
  return { ...built, SHA256SUMS: sha256(`${sums.sort().join('\n')}\n`) }
}

interface Manifest {
  layers: { digest: string; mediaType: string }[]
}

/** The files of a small artifact, read by hand as docs/volume.md says, without the product. */
function artifactFiles(reference: string): Record<string, string> {
  const blob = (digest: string): Buffer => {
    const data = readFileSync(join(space.volume, 'store/blobs/sha256', digest.replace('sha256:', '')))
    expect(`sha256:${sha256(data)}`).toBe(digest)
    return data
  }
  const { layers } = JSON.parse(blob(reference.split('@')[1]!).toString()) as Manifest
  const folder = temporaryFolder()
  for (const { digest, mediaType } of layers) {
    expect(mediaType).toBe('application/vnd.oci.image.layer.v1.tar+zstd')
    execFileSync('tar', ['-C', folder, '-xf', '-'], { input: zstdDecompressSync(blob(digest)) })
  }
  return filesOf(folder)
}

/** A finished demo with the default source: its package is what its source builds to. */
async function expectDemoBuilt(run: KubeItem): Promise<void> {
  const archive = archiveOf(run)
  const source = join(archive, 'workspace-content/source')
  expect(existsSync(join(source, 'src/steps/artifact-store/run.ts'))).toBe(true)
  expect(publishedFiles(archive)).toEqual(builtFrom(source))
}

const demo = { pipelineRef: { name: 'shared-workspace-demo' } }

// Tekton's default pins the pods of a run to one node: what users meet who change nothing.
describe.concurrent('with the affinity assistant', PATIENT, () => {
  it('the demo builds, checks and packs side by side, publishes and archives', async () => {
    const run = await succeeded(space, await space.start('PipelineRun', demo))
    await expectDemoBuilt(run)

    const reference = resultsOf(run)['package']!
    expect(reference).toMatch(
      new RegExp(`^workspace://[^/]+/${run.metadata.uid}/package/package@sha256:[0-9a-f]{64}$`),
    )
    expect(artifactFiles(reference)).toEqual(filesOf(join(archiveOf(run), 'final-output')))

    const taskRuns = await taskRunsOf(NAMESPACE, run.metadata.name)
    const [check, pack] = [taskRuns['check']!.status, taskRuns['package']!.status]
    expect(check.startTime! < pack.completionTime! && pack.startTime! < check.completionTime!).toBe(true)
    expect(taskRuns['build']!.status.completionTime! <= check.startTime!).toBe(true)
  })

  it('agents work side by side, and the collector gathers their reports', async () => {
    const run = await succeeded(
      space,
      await space.start('PipelineRun', { pipelineRef: { name: 'multi-agent' } }),
    )
    const archive = archiveOf(run)
    const agents = ['analyst', 'reviewer', 'writer']
    const reports = filesOf(join(archive, 'final-output'))
    expect(Object.keys(reports)).toEqual(agents.map((agent) => `${agent}.md`))
    for (const agent of agents) {
      expect(filesOf(join(archive, 'agent-artifacts', agent))).toEqual({
        [`${agent}.md`]: reports[`${agent}.md`],
      })
      expect(readFileSync(join(archive, 'final-output', `${agent}.md`), 'utf8')).toContain(
        `# ${agent}\nRun ${run.metadata.uid}, runs so far: 1\n`,
      )
      const statuses = readdirSync(join(archive, 'metadata/agents', agent)).sort()
      const phases = statuses.map((file) => {
        const text = readFileSync(join(archive, 'metadata/agents', agent, file), 'utf8')
        return (JSON.parse(text) as { phase: string }).phase
      })
      expect(phases).toEqual(['Running', 'Succeeded'])
    }
  })

  it('tkn starts the demo with a source and commands of the user', async () => {
    const mine = temporaryFolder()
    mkdirSync(join(mine, 'data'))
    writeFileSync(join(mine, 'hello.txt'), 'hello, volume\n')
    writeFileSync(join(mine, 'data/ünïcode name.bin'), Buffer.from([0, 1, 2, 254, 255]))
    mkdirSync(join(space.volume, 'sources'))
    execFileSync('tar', ['-C', mine, '-czf', join(space.volume, 'sources/mine.tar.gz'), '.'])
    writeFileSync(join(mine, 'pod-template.yaml'), JSON.stringify(POD_TEMPLATE))

    const params = [
      'source=/workspace/shared/sources/mine.tar.gz',
      'buildCommand=mkdir out && tr a-z A-Z < hello.txt > out/HELLO.txt && cp -R data out/',
      'buildOutput=out',
      'checkCommand=echo "the check saw $(cat HELLO.txt)"',
    ]
    const start = `pipeline start shared-workspace-demo -n ${NAMESPACE} -s ${SERVICE_ACCOUNT} -w name=shared,claimName=${CLAIM} --pod-template ${join(mine, 'pod-template.yaml')} --use-param-defaults --showlog --exit-with-pipelinerun-error`
    const output = await tkn(...start.split(' '), ...params.flatMap((param) => ['-p', param]))
    expect(output).toContain('the check saw HELLO, VOLUME')
    const name = /PipelineRun started: (\S+)/.exec(output)![1]!
    const run = await succeeded(space, name)
    expect(publishedFiles(archiveOf(run))).toEqual({
      'HELLO.txt': sha256('HELLO, VOLUME\n'),
      'data/ünïcode name.bin': sha256(Buffer.from([0, 1, 2, 254, 255])),
    })
  })
})

describe('without the affinity assistant', PATIENT, () => {
  it('the pods of one demo run share the volume from both nodes', async () => {
    await setCoschedule('disabled')
    const { items } = await getJson<{ items: KubeItem[] }>('', 'nodes')
    const hosts = items.map((node) => node.metadata.labels['kubernetes.io/hostname']!)
    // Each task on another node than the one it takes over from.
    const places = { init: 0, fetch: 1, build: 0, check: 1, package: 1, publish: 0, archive: 1 }
    const taskRunSpecs = Object.entries(places).map(([pipelineTaskName, node]) => ({
      pipelineTaskName,
      podTemplate: { ...POD_TEMPLATE, nodeSelector: { 'kubernetes.io/hostname': hosts[node] } },
    }))
    const name = await space.start('PipelineRun', { ...demo, taskRunSpecs })
    const run = await succeeded(space, name)
    await expectDemoBuilt(run)
    const pods = await getJson<{ items: KubeItem[] }>(
      NAMESPACE,
      'pods',
      '-l',
      `tekton.dev/pipelineRun=${name}`,
    )
    const nodes = pods.items.map((pod) => [pod.metadata.labels['tekton.dev/pipelineTask'], pod.spec.nodeName])
    expect(Object.fromEntries(nodes)).toEqual(
      Object.fromEntries(Object.entries(places).map(([task, node]) => [task, hosts[node]])),
    )
  })
})

describe.concurrent('what is generated', PATIENT, () => {
  const folders = (kind: string): string[] => readdirSync(join(root, kind)).sort()
  const yaml = (kind: string): string[] =>
    folders(kind).flatMap((name) => ['-f', join(root, kind, name, '0.1', `${name}.yaml`)])
  const samples = (kind: string, file: string): string[] =>
    folders(kind).flatMap((name) => ['-f', join(root, kind, name, '0.1/samples', file)])

  it.each(['tasks', 'stepactions', 'pipelines'])('%s: all are installed by the one file', async (kind) => {
    const { items } = await getJson<{ items: KubeItem[] }>(NAMESPACE, kind)
    expect(items.map((item) => item.metadata.name).sort()).toEqual(folders(kind))
  })

  it('every Task, StepAction and Pipeline by itself is admitted', async () => {
    const files = ['tasks', 'stepactions', 'pipelines'].flatMap(yaml)
    const said = await kubectl('apply', '-n', EMPTY, '--dry-run=server', ...files)
    expect(said.split('\n')).toHaveLength(files.length / 2)
  })

  it('every sample is admitted', async () => {
    const files = [
      ...samples('tasks', 'taskrun.yaml'),
      ...samples('stepactions', 'taskrun.yaml'),
      ...samples('pipelines', 'pipelinerun.yaml'),
    ]
    const said = await kubectl('create', '-n', NAMESPACE, '--dry-run=server', ...files)
    expect(said.split('\n')).toHaveLength(files.length / 2)
  })

  it('what Tekton refuses is refused in a dry run too', async () => {
    const file = join(temporaryFolder(), 'both.json')
    const spec = { taskRef: { name: 'workspace-init' }, taskSpec: { steps: [] } }
    const both = { apiVersion: 'tekton.dev/v1', kind: 'TaskRun', metadata: { name: 'both' }, spec }
    writeFileSync(file, JSON.stringify(both))
    await expect(kubectl('create', '-n', NAMESPACE, '--dry-run=server', '-f', file)).rejects.toThrow(
      /expected exactly one, got both/,
    )
  })

  it('Tasks and StepActions come from another namespace by the cluster resolver', async () => {
    const file = (kind: string, name: string): string[] => [
      '-f',
      join(root, kind, name, '0.1', `${name}.yaml`),
    ]
    const files = [...file('tasks', 'workspace-init'), ...file('stepactions', 'workspace-status')]
    await kubectl('apply', '-n', CATALOG, ...files)
    const from = (kind: string, name: string): object => ({
      resolver: 'cluster',
      params: Object.entries({ kind, name, namespace: CATALOG }).map(([name, value]) => ({ name, value })),
    })
    const init = { name: 'init', taskRef: from('task', 'workspace-init'), workspaces: BIND_SHARED }
    const status = {
      name: 'status',
      runAfter: ['init'],
      workspaces: BIND_SHARED,
      taskSpec: {
        workspaces: [{ name: 'shared' }],
        steps: [
          {
            name: 'set',
            ref: from('stepaction', 'workspace-status'),
            params: [
              { name: 'sharedPath', value: SHARED },
              { name: 'phase', value: 'Running' },
              { name: 'message', value: 'set from afar' },
            ],
          },
        ],
      },
    }
    const run = await succeeded(space, await space.start('PipelineRun', pipeline([init, status])))
    const taskRuns = await taskRunsOf(NAMESPACE, run.metadata.name)
    expect(taskRuns['init']!.status.provenance?.refSource?.uri).toContain(`/namespaces/${CATALOG}/`)
    expect(resultsOf(taskRuns['init']!)['run-id']).toBe(run.metadata.uid)
    const phase = join(space.volume, 'pipelines', run.metadata.uid, 'metadata/phases/0.0')
    expect(
      JSON.parse(readFileSync(phase, 'utf8')),
      await logOfRun(NAMESPACE, run.metadata.name),
    ).toMatchObject({
      phase: 'Running',
      message: 'set from afar',
    })
  })
})
