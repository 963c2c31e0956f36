/** Artifacts between tasks, tries, runs, users and plain pods. */
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { CLAIM, SERVICE_ACCOUNT } from '../../src/catalog/names.ts'
import { SECURITY_CONTEXT, defaultOf, stepContainer } from '../../src/catalog/step.ts'
import { POD_TEMPLATE } from '../../src/catalog/sample.ts'
import { DEFAULTS } from '../../src/catalog/settings.ts'
import type { StepContract } from '../../src/contract.ts'
import { contract as artifactRetrieve } from '../../src/steps/artifact-retrieve/contract.ts'
import { contract as artifactStore } from '../../src/steps/artifact-store/contract.ts'
import { contract as lockAcquire } from '../../src/steps/lock-acquire/contract.ts'
import { contract as lockRelease } from '../../src/steps/lock-release/contract.ts'
import { contract as workspaceArchive } from '../../src/steps/workspace-archive/contract.ts'
import { contract as workspaceInit } from '../../src/steps/workspace-init/contract.ts'
import { contract as workspaceStatus } from '../../src/steps/workspace-status/contract.ts'
import { create, eventually, getJson, kubectl, logOf } from './support/cluster.ts'
import { makeNamespace, type TestNamespace } from './support/namespace.ts'
import {
  logOfRun,
  PATIENT,
  pipeline,
  resultsOf,
  script,
  SHARED,
  step,
  succeeded,
  task,
  taskRunsOf,
  taskSpec,
} from './support/runs.ts'
import { contentOf, filesOf, sha256 } from './support/trees.ts'

const NAMESPACE = 'e2e-data'
/** Admits root, on the same volume. */
const ROOT_NAMESPACE = 'e2e-data-root'

let space: TestNamespace
let rootSpace: TestNamespace
beforeAll(async () => {
  space = await makeNamespace(NAMESPACE)
  rootSpace = await makeNamespace(ROOT_NAMESPACE, 'baseline', { sharesVolumeOf: space })
})
afterAll(async () => {
  await rootSpace?.remove()
  await space?.remove()
})

const RUN_UID = '$(context.pipelineRun.uid)'
const init = task('init', { steps: [step('init', workspaceInit, {})] })
const archive = task('archive', {
  params: { status: '$(tasks.status)' },
  steps: [step('archive', workspaceArchive, { status: '$(params.status)' })],
  results: { 'archive-path': 'archive' },
})
const contentFolder = (runUid: string): string => join(space.volume, 'pipelines', runUid, 'workspace-content')

/** A step's container as people copy it from the Task to a Pod of theirs: the values are in its env. */
function container(
  contract: StepContract,
  shared: string,
  values: Record<string, string>,
  args: string[] = [],
) {
  const { env, ...rest } = stepContainer(contract, 'task', DEFAULTS)
  const valueOf = (text: string): string | string[] | undefined => {
    const param = /^\$\(params\.(\w+)\)$/.exec(text)?.[1]
    if (param) return values[param] ?? defaultOf(contract.params[param]!, 'task')
    return text === '$(workspaces.shared.path)' ? shared : undefined
  }
  const filled = env.map(({ name, value, valueFrom }) =>
    valueFrom ? { name, valueFrom } : { name, value: valueOf(value!) },
  )
  return { ...rest, args, env: filled }
}

describe.concurrent('artifacts', PATIENT, () => {
  it('of all combinations of a matrix reach the one that gathers them', async () => {
    const make = task('make', {
      matrix: { a: ['1', '2', '3'], b: ['x', 'y'] },
      params: { seed: 'a seed' },
      steps: [
        script('make', 'mkdir part && printf %s "$SEED: $A and $B" > "part/$A-$B.txt"', {
          SEED: '$(params.seed)',
          A: '$(params.a)',
          B: '$(params.b)',
        }),
        step('store', artifactStore, { path: '/workspace/part', output: 'part' }),
      ],
      results: { artifact: 'store' },
      more: { runAfter: ['init'] },
    })
    const gather = task('gather', {
      params: { artifacts: ['$(tasks.make.results.artifact[*])'] },
      steps: [step('gather', artifactRetrieve, { artifacts: ['$(params.artifacts[*])'], path: 'gathered' })],
      results: { files: 'gather' },
    })
    const run = await succeeded(space, await space.start('PipelineRun', pipeline([init, make, gather])))
    const expected = ['1-x', '1-y', '2-x', '2-y', '3-x', '3-y'].map((pair) => {
      const [a, b] = pair.split('-')
      return [`${pair}.txt`, sha256(`a seed: ${a} and ${b}`)]
    })
    expect(filesOf(join(contentFolder(run.metadata.uid), 'gathered'))).toEqual(Object.fromEntries(expected))
    expect(resultsOf((await taskRunsOf(NAMESPACE, run.metadata.name))['gather']!)['files']).toBe('6')
  })

  it('of a retried task are those of its last try', async () => {
    const flaky = task('flaky', {
      params: { run: RUN_UID },
      steps: [
        script(
          'build',
          `
          umask 002
          echo try >> "$TRIES"
          mkdir build
          printf %s "built by try $(wc -l < "$TRIES")" > build/out.txt
          `,
          { TRIES: `${SHARED}/pipelines/$(params.run)/workspace-content/tries` },
        ),
        step('store', artifactStore, { path: '/workspace/build', output: 'build' }),
        script('fail-once', 'grep -q "try 2" build/out.txt'),
      ],
      results: { artifact: 'store' },
      more: { retries: 1, runAfter: ['init'] },
    })
    const use = task('use', {
      params: { artifact: '$(tasks.flaky.results.artifact)' },
      steps: [step('retrieve', artifactRetrieve, { artifacts: ['$(params.artifact)'], path: 'used' })],
    })
    const run = await succeeded(space, await space.start('PipelineRun', pipeline([init, flaky, use])))
    const { flaky: taskRun } = await taskRunsOf(NAMESPACE, run.metadata.name)
    expect(taskRun!.status.retriesStatus, await logOfRun(NAMESPACE, run.metadata.name)).toHaveLength(1)
    expect(readFileSync(join(contentFolder(run.metadata.uid), 'used/out.txt'), 'utf8')).toBe('built by try 2')
    // Both tries are there; what the consumer took is sealed.
    const output = join(space.volume, 'artifacts', run.metadata.uid, 'flaky/build')
    expect(readdirSync(output).sort()).toEqual(['0.0', '0.1', '0.2'])
    const index = JSON.parse(readFileSync(join(output, '0.1/index.json'), 'utf8')) as {
      manifests: [{ digest: string }]
    }
    expect(resultsOf(taskRun!)['artifact']).toMatch(new RegExp(`/flaky/build@${index.manifests[0].digest}$`))
  })

  it('of a skipped task may be missing where they are optional', async () => {
    const produce = task('produce', {
      steps: [step('store', artifactStore, { path: '.', output: 'out' })],
      results: { artifact: 'store' },
      more: { runAfter: ['init'], when: [{ input: 'no', operator: 'in', values: ['yes'] }] },
    })
    const consume = task('consume', {
      steps: [
        step('retrieve', artifactRetrieve, {
          artifacts: ['produce/out'],
          path: 'consumed',
          optional: 'true',
        }),
      ],
      results: { files: 'retrieve' },
      more: { runAfter: ['produce'] },
    })
    const run = await succeeded(space, await space.start('PipelineRun', pipeline([init, produce, consume])))
    expect(run.status.skippedTasks?.map(({ name }) => name)).toEqual(['produce'])
    const taskRuns = await taskRunsOf(NAMESPACE, run.metadata.name)
    expect(resultsOf(taskRuns['consume']!)['files']).toBe('0')
    expect(existsSync(join(contentFolder(run.metadata.uid), 'consumed'))).toBe(false)
  })

  it('are retrieved whole, in part, by digest, and from a run that is archived', async () => {
    const make = task('make', {
      params: { run: RUN_UID },
      steps: [
        script(
          'make',
          `
          umask 022
          mkdir -p "$TREE/bin" "$TREE/doc/deep" "$TREE/empty"
          printf '#!/bin/sh\\necho tool\\n' > "$TREE/bin/tool"
          chmod 755 "$TREE/bin/tool"
          printf top > "$TREE/top.txt"
          printf deep > "$TREE/doc/deep/ünïcode.txt"
          ln -s ../bin/tool "$TREE/doc/link"
          head -c 3000000 /dev/urandom > "$TREE/large.bin"
          `,
          { TREE: `${SHARED}/pipelines/$(params.run)/workspace-content/tree` },
        ),
        step('store', artifactStore, { path: 'tree', output: 'tree' }),
      ],
      results: { artifact: 'store' },
      more: { runAfter: ['init'] },
    })
    const spec = pipeline([init, make], { finally: [archive] })
    const run = await succeeded(space, await space.start('PipelineRun', spec))
    const { name, uid } = run.metadata
    const taskRuns = await taskRunsOf(NAMESPACE, name)
    const archived = join(space.volume, resultsOf(taskRuns['archive']!)['archive-path']!)
    const tree = contentOf(join(archived, 'workspace-content/tree'))
    expect(Object.keys(tree)).toHaveLength(9)

    const uri = resultsOf(taskRuns['make']!)['artifact']!
    const pinned = `make/tree@${uri.split('@')[1]}`
    const ways: Record<string, Record<string, string | string[]>> = {
      whole: { artifacts: ['make/tree'], run: name },
      part: { artifacts: ['make/tree'], run: `${NAMESPACE}.${name}`, files: 'bin/**, **/*.txt' },
      digest: { artifacts: [pinned], run: uid },
      uri: { artifacts: [uri] },
    }
    const steps = Object.entries(ways).map(([way, params]) =>
      step(way, artifactRetrieve, { ...params, path: `${SHARED}/taken/${way}` }),
    )
    const { exitCode, log } = await space.runTask({ taskSpec: taskSpec({ steps }) })
    expect(exitCode, log).toBe(0)
    const taken = (way: string) => contentOf(join(space.volume, 'taken', way))
    for (const way of ['whole', 'digest', 'uri']) expect(taken(way)).toEqual(tree)
    expect(filesOf(join(space.volume, 'taken/part'))).toEqual({
      'bin/tool': sha256('#!/bin/sh\necho tool\n'),
      'doc/deep/ünïcode.txt': sha256('deep'),
      'top.txt': sha256('top'),
    })
  })

  it('are stored and retrieved by a plain Pod, whose uid is the run', async () => {
    const volumes = [
      { name: 'shared', persistentVolumeClaim: { claimName: CLAIM } },
      { name: 'work', emptyDir: {} },
    ]
    const volumeMounts = [
      { name: 'shared', mountPath: '/shared' },
      { name: 'work', mountPath: '/scratch' },
    ]
    const write = {
      image: DEFAULTS.image,
      command: ['sh', '-c', 'mkdir /scratch/out && printf "from a pod" > /scratch/out/hello.txt'],
      securityContext: SECURITY_CONTEXT,
    }
    const parts = {
      write,
      store: container(artifactStore, '/shared', { path: '/scratch/out', output: 'out' }),
      retrieve: container(artifactRetrieve, '/shared', { path: '/scratch/back' }, ['plain/out']),
      show: { ...write, command: ['cat', '/scratch/back/hello.txt'] },
    }
    const containers = Object.entries(parts).map(([name, part]) => ({ name, ...part, volumeMounts }))
    await create(NAMESPACE, {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'plain' },
      spec: {
        restartPolicy: 'Never',
        serviceAccountName: SERVICE_ACCOUNT,
        ...POD_TEMPLATE,
        volumes,
        initContainers: containers.slice(0, -1),
        containers: containers.slice(-1),
      },
    })
    const pod = await eventually('the pod has ended', async () => {
      const item = await getJson(NAMESPACE, 'pod', 'plain')
      return ['Succeeded', 'Failed'].includes(item.status.phase!) ? item : undefined
    })
    const log = await logOf(NAMESPACE, 'plain')
    expect(pod.status.phase, log).toBe('Succeeded')
    expect(await kubectl('logs', '-n', NAMESPACE, 'plain', '-c', 'show')).toBe('from a pod')
    const stored = join(space.volume, 'artifacts', pod.metadata.uid, 'plain/out/0.0/index.json')
    expect(readFileSync(stored, 'utf8')).toContain('"vnd.tekton-shared-workspace.run.kind":"Pod"')
  })
})

/** The same group for all, as the README's "Users and groups" says; no capabilities, not even for root. */
const USERS = {
  nonroot: { runAsUser: 65532 },
  root: { runAsUser: 0, runAsGroup: 0 },
  openshift: { runAsUser: 1000660000, runAsGroup: 0 },
}
type User = keyof typeof USERS

describe('users and umasks', PATIENT, () => {
  it('share the runs, artifacts, statuses and locks of one volume', async () => {
    const users = Object.keys(USERS) as User[]
    const writers = users.flatMap((user) =>
      ['022', '077'].map((umask) => ({ user, umask, name: `${user}-${umask}` })),
    )
    const as = (user: User): { stepTemplate: object } => ({ stepTemplate: { securityContext: USERS[user] } })
    /** A step of the product under a umask, which only a shell can set. */
    const masked = (
      contract: StepContract,
      umask: string,
      values: Record<string, string> = {},
      args: string[] = [],
    ) => {
      const { command, ...rest } = container(contract, SHARED, values, args)
      return {
        name: contract.name,
        ...rest,
        command: ['sh', '-c', `umask ${umask} && exec "$@"`, 'sh', ...command],
      }
    }
    const write = writers.map(({ user, umask, name }) =>
      task(`write-${name}`, {
        ...as(user),
        params: { run: RUN_UID },
        steps: [
          script(
            'write',
            `
            umask ${umask}
            mkdir -p "$OUT/of-${name}"
            printf "written by ${name}" > "$OUT/of-${name}/file.txt"
            `,
            { OUT: `${SHARED}/pipelines/$(params.run)/workspace-content/${name}` },
          ),
          masked(artifactStore, umask, { path: name, output: 'files' }),
        ],
        more: { runAfter: ['init'] },
      }),
    )
    const read = users.map((user) =>
      task(`read-${user}`, {
        ...as(user),
        steps: [
          masked(lockAcquire, '077', { name: 'users' }),
          masked(
            artifactRetrieve,
            '077',
            { path: `read-by-${user}` },
            writers.map(({ name }) => `write-${name}/files`),
          ),
          masked(workspaceStatus, '077', { agent: 'reader', phase: 'Running', message: `by ${user}` }),
          masked(lockRelease, '077', { name: 'users' }),
        ],
        more: { runAfter: write.map((_, n) => `write-${writers[n]!.name}`) },
      }),
    )
    const firstOf = task('init', { ...as('openshift'), steps: [masked(workspaceInit, '077')] })
    const spec = pipeline([firstOf, ...write, ...read], { finally: [archive] })
    const podTemplate = { securityContext: { runAsUser: 65532, fsGroup: 65532 } }
    const taskRunTemplate = { serviceAccountName: SERVICE_ACCOUNT, podTemplate }
    const run = await succeeded(rootSpace, await rootSpace.start('PipelineRun', { ...spec, taskRunTemplate }))

    const taskRuns = await taskRunsOf(ROOT_NAMESPACE, run.metadata.name)
    const archived = join(space.volume, resultsOf(taskRuns['archive']!)['archive-path']!)
    const closing = readFileSync(join(archived, 'metadata/phases/0.0'), 'utf8')
    expect(JSON.parse(closing)).toMatchObject({ phase: 'Succeeded', closed: true })
    expect(existsSync(join(space.volume, 'pipelines', run.metadata.uid))).toBe(false)
    expect(await logOfRun(ROOT_NAMESPACE, run.metadata.name)).toContain('its bytes are not counted')
    const content = join(archived, 'workspace-content')
    const expected = writers.map(({ name }) => [`of-${name}/file.txt`, sha256(`written by ${name}`)])
    for (const user of users) {
      expect(filesOf(join(content, `read-by-${user}`))).toEqual(Object.fromEntries(expected))
      expect(statSync(join(content, `read-by-${user}`)).uid).toBe(USERS[user].runAsUser)
    }
    for (const { user, umask, name } of writers) {
      const { uid, mode } = statSync(join(content, name, `of-${name}/file.txt`))
      expect([uid, mode & 0o777]).toEqual([USERS[user].runAsUser, 0o666 & ~Number.parseInt(umask, 8)])
    }
    const statuses = readdirSync(join(archived, 'metadata/agents/reader')).map((file) => {
      const text = readFileSync(join(archived, 'metadata/agents/reader', file), 'utf8')
      return (JSON.parse(text) as { message: string }).message
    })
    expect(statuses.sort()).toEqual(users.map((user) => `by ${user}`).sort())

    // What root stored under a closed umask, in the restricted namespace, by a user that a platform made up.
    const path = `${SHARED}/taken-from-root`
    const artifacts = ['write-root-077/files']
    const retrieve = step('retrieve', artifactRetrieve, {
      artifacts,
      path,
      run: `${ROOT_NAMESPACE}.${run.metadata.name}`,
    })
    const { securityContext } = POD_TEMPLATE
    const { exitCode, log } = await space.runTask({
      podTemplate: { securityContext: { ...securityContext, ...USERS.openshift } },
      taskSpec: taskSpec({ steps: [retrieve] }),
    })
    expect(exitCode, log).toBe(0)
    expect(filesOf(join(space.volume, 'taken-from-root'))).toEqual({
      'of-root-077/file.txt': sha256('written by root-077'),
    })
  })
})
