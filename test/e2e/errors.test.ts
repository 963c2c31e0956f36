/** What goes wrong on a real Tekton: each failure has its exit code and says what to do; nothing is half-written. */
import { execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { CLAIM } from '../../src/catalog/names.ts'
import type { StepContract } from '../../src/contract.ts'
import type { ErrorCode } from '../../src/errors.ts'
import { contract as artifactRetrieve } from '../../src/steps/artifact-retrieve/contract.ts'
import { contract as artifactStore } from '../../src/steps/artifact-store/contract.ts'
import { contract as lockAcquire } from '../../src/steps/lock-acquire/contract.ts'
import { contract as lockRelease } from '../../src/steps/lock-release/contract.ts'
import { contract as workspaceArchive } from '../../src/steps/workspace-archive/contract.ts'
import { contract as workspaceCleanup } from '../../src/steps/workspace-cleanup/contract.ts'
import { contract as workspaceInit } from '../../src/steps/workspace-init/contract.ts'
import { contract as workspaceStatus } from '../../src/steps/workspace-status/contract.ts'
import { errorIn, exitCodesOf, logsOfSteps, type LogLine } from './support/logs.ts'
import { makeNamespace, type TestNamespace } from './support/namespace.ts'
import { resultsOf, script, SHARED, step, taskSpec } from './support/runs.ts'
import { contentOf } from './support/trees.ts'

const NAMESPACE = 'e2e-errors'
const GROUP = '65532'
const NO_DIGEST = `sha256:${'0'.repeat(64)}`

let space: TestNamespace
/** What the seed volume holds: one artifact, made by a run of its own. */
let seed: { artifact: string; uri: string; digest: string; runId: string; folder: string }
beforeAll(async () => {
  space = await makeNamespace(NAMESPACE)
  emptyVolume('seed')
  const make = `#!/bin/sh
set -eu
mkdir -p out/sub
echo small > out/small.txt
echo other > out/sub/other.txt
head -c 2097152 /dev/urandom > out/big.bin
`
  const steps = [
    step('init', workspaceInit, {}),
    script('make', make),
    step('store', artifactStore, { path: '/workspace/out', output: 'out' }),
  ]
  const { run, exitCode, log } = await space.runTask({
    taskSpec: taskSpec({ steps, results: { artifact: 'store' } }),
    workspaces: onVolume('seed'),
  })
  if (exitCode !== 0) throw new Error(log)
  const artifact = resultsOf(run)['artifact']!
  const [uri, digest] = artifact.split('@') as [string, string]
  const folder = `artifacts/${run.metadata.uid}/${run.metadata.name}/out`
  seed = { artifact, uri, digest, runId: run.metadata.uid, folder }
})
afterAll(() => space?.remove())

/** Volumes of these tests are folders of the one claim, so that tests side by side do not meet. */
const onVolume = (name: string, more: object = {}): object[] => [
  { name: 'shared', subPath: name, persistentVolumeClaim: { claimName: CLAIM, ...more } },
]

function emptyVolume(name: string): string {
  const folder = join(space.volume, name)
  mkdirSync(folder)
  execFileSync('chgrp', [GROUP, folder])
  execFileSync('chmod', ['2775', folder])
  return folder
}

/** A volume that is as the seed is, with `target` prepared for retrievals. */
function copyOfSeed(name: string): string {
  const folder = join(space.volume, name)
  mkdirSync(join(folder, '..'), { recursive: true })
  execFileSync('cp', ['-a', join(space.volume, 'seed'), folder])
  mkdirSync(join(folder, 'target'))
  writeFileSync(join(folder, 'target/small.txt'), 'mine\n')
  execFileSync('chown', ['-R', `${GROUP}:${GROUP}`, join(folder, 'target')])
  return folder
}

/** What a failure must say. Expected and found are looked at where the product tells them. */
interface Failure {
  exit: number
  code: ErrorCode
  message: RegExp
  expected?: RegExp | string
  found?: RegExp | string
}

const matching = (what: RegExp | string): string =>
  typeof what === 'string' ? what : (expect.stringMatching(what) as string)

function expectFailure(
  error: LogLine | undefined,
  exitCode: number | undefined,
  failure: Failure,
  log: string,
): void {
  const { exit, code, message, expected, found } = failure
  expect(exitCode, log).toBe(exit)
  expect(error, log).toMatchObject({
    time: matching(/^\d{4}-\d\d-\d\dT/),
    level: 'error',
    code,
    exitCode: exit,
    message: matching(message),
    hint: matching(/\w+ \w+/),
    ...(expected === undefined ? {} : { expected: matching(expected) }),
    ...(found === undefined ? {} : { found: matching(found) }),
  })
}

/**
 * What has changed on a volume since `before`. What may appear besides is named by the test; a temporary name
 * never may.
 */
function changesOn(volume: string, before: Record<string, string>, allowed = /^$/): string[] {
  const after = contentOf(volume)
  // What an artifact's link to the store leads to is looked at where it is.
  const isView = (path: string): boolean => /(^|\/)artifacts\/.*\/blobs\//.test(path)
  const added = Object.keys(after).filter((path) => !(path in before) && !isView(path))
  const others = Object.keys(before).filter((path) => after[path] !== before[path])
  return [
    ...added.filter((path) => path.includes('.tmp-') || !allowed.test(path)).map((path) => `added ${path}`),
    ...others.map((path) => `${path in after ? 'changed' : 'removed'} ${path}`),
  ]
}

/** A seal: the first retrieval of an artifact leaves it, even if it then fails. */
const sealed = (): RegExp => new RegExp(`(^|/)${seed.folder}/0\\.1$`)

/** A step that is to fail, and how. */
interface Attempt {
  contract: StepContract
  params: Record<string, string | string[]>
  failure: Failure
}

/** Runs `first`, then steps of which each is to fail in its way, in one pod. @returns all of its log */
async function expectFailures(
  volume: string,
  attempts: Record<string, Attempt>,
  { first = [], workspaces = onVolume(volume) }: { first?: object[]; workspaces?: object[] } = {},
): Promise<string> {
  const failing = Object.entries(attempts).map(([name, { contract, params }]) => ({
    ...step(name, contract, params),
    onError: 'continue',
  }))
  const { run, log } = await space.runTask({
    taskSpec: taskSpec({ steps: [...first, ...failing] }),
    workspaces,
  })
  // Else a step that never ran would look like one that failed.
  expect(run.status.conditions![0]!.reason, `${run.status.conditions![0]!.message}\n${log}`).toBe('Succeeded')
  const [logs, exits] = [await logsOfSteps(NAMESPACE, run), exitCodesOf(run)]
  for (const [name, { failure }] of Object.entries(attempts)) {
    expectFailure(errorIn(logs[name]!), exits[name], failure, `${name}: ${logs[name]}`)
  }
  return log
}

const missing = `workspace://volume/run/task`

interface TaskCase {
  title: string
  volume: (name: string) => string
  workspaces?: (name: string) => object[]
  contract: StepContract
  params: () => Record<string, string | string[]>
  failure: () => Failure
  /** What appears on the volume all the same. */
  allowed?: () => RegExp
}

const TASKS: TaskCase[] = [
  {
    title: 'another digest than the one that was pinned',
    volume: copyOfSeed,
    contract: artifactRetrieve,
    params: () => ({ artifacts: [`${seed.uri}@${NO_DIGEST}`], path: `${SHARED}/target` }),
    failure: () => ({
      exit: 31,
      code: 'DIGEST_MISMATCH',
      message: /^workspace:\S+ is not what it was when its digest was taken$/,
      expected: NO_DIGEST,
      found: seed.digest,
    }),
  },
  {
    title: 'an artifact that nobody stored',
    volume: copyOfSeed,
    contract: artifactRetrieve,
    params: () => ({ artifacts: ['build/none'], path: `${SHARED}/new`, run: seed.runId }),
    failure: () => ({
      exit: 30,
      code: 'ARTIFACT_NOT_FOUND',
      message: new RegExp(`^there is no artifact workspace:\\S+/${seed.runId}/build/none$`),
    }),
  },
  {
    title: 'a target that has other content',
    volume: copyOfSeed,
    contract: artifactRetrieve,
    params: () => ({ artifacts: [seed.artifact], path: `${SHARED}/target` }),
    allowed: sealed,
    failure: () => ({
      exit: 35,
      code: 'TARGET_CONFLICT',
      message: /target has other content at 1 of the names to be written$/,
      expected: 'names that are free, or hold the same content',
      found: 'small.txt (another file)',
    }),
  },
  {
    title: 'a run that does not exist',
    volume: copyOfSeed,
    contract: workspaceStatus,
    params: () => ({ run: 'no-such-run', phase: 'Running' }),
    failure: () => ({
      exit: 50,
      code: 'RUN_NOT_FOUND',
      message: /^there is no run at \S+\/pipelines\/no-such-run$/,
      expected: /workspace-init/,
      found: 'none',
    }),
  },
  {
    title: 'a workspace that is not an initialised volume',
    volume: emptyVolume,
    contract: artifactRetrieve,
    params: () => ({ artifacts: ['build/out'], path: 'out' }),
    failure: () => ({
      exit: 20,
      code: 'STORAGE_NOT_MOUNTED',
      message: /^there is no shared workspace at \/workspace\/shared$/,
      expected: 'a volume with .shared-workspace/format.json',
      found: 'a folder without it',
    }),
  },
  {
    title: 'a claim that is mounted read-only',
    volume: copyOfSeed,
    workspaces: (name) => onVolume(name, { readOnly: true }),
    contract: artifactStore,
    params: () => ({ path: `${SHARED}/target`, output: 'out' }),
    failure: () => ({ exit: 21, code: 'NOT_WRITABLE', message: /EROFS: .*\/workspace\/shared\// }),
  },
  {
    title: 'a volume on which this user may not write',
    volume: (name) => {
      const folder = copyOfSeed(name)
      execFileSync('chown', ['-R', '0:0', folder])
      execFileSync('chmod', ['-R', 'go-w', folder])
      return folder
    },
    contract: artifactStore,
    params: () => ({ path: `${SHARED}/target`, output: 'out' }),
    failure: () => ({ exit: 21, code: 'NOT_WRITABLE', message: /EACCES: .*\/workspace\/shared\// }),
  },
  {
    title: 'nothing to store',
    volume: copyOfSeed,
    contract: artifactStore,
    params: () => ({ path: `${SHARED}/target/forgotten`, output: 'out' }),
    failure: () => ({
      exit: 37,
      code: 'SOURCE_NOT_FOUND',
      message: /^there is nothing at \/workspace\/shared\/target\/forgotten$/,
    }),
  },
  {
    title: 'a parameter of another form',
    volume: copyOfSeed,
    contract: lockAcquire,
    params: () => ({ name: 'deploy', policy: 'maybe', timeout: 'soon' }),
    failure: () => ({
      exit: 64,
      code: 'USAGE',
      message:
        /^lock-acquire cannot start: policy: expected wait, skip, fail, found "maybe"; timeout: expected a duration .*, found "soon"$/,
    }),
  },
]

describe.concurrent('a Task fails and says why', () => {
  it.each(TASKS.map((one, i) => ({ ...one, name: `task-${i}` })))(
    '$title',
    async ({ name, volume, workspaces = onVolume, contract, params, failure, allowed }) => {
      const folder = volume(name)
      const before = contentOf(folder)
      const { run, log, exitCode } = await space.runTask({
        taskRef: { name: contract.name },
        params: Object.entries(params()).map(([name, value]) => ({ name, value })),
        workspaces: workspaces(name),
      })
      expectFailure(errorIn(log), exitCode, failure(), log)
      expect(run.status.conditions, log).toMatchObject([
        { status: 'False', message: matching(new RegExp(`exited with code ${failure().exit}`)) },
      ])
      expect(changesOn(folder, before, allowed?.()), log).toEqual([])
    },
  )
})

describe.concurrent('StepActions fail and say why', () => {
  it('artifacts of which bytes were flipped or are missing on the volume', async () => {
    interface Manifest {
      config: { digest: string }
      layers: { digest: string; mediaType: string }[]
    }
    const blobOf = (digest: string): string => join('store/blobs/sha256', digest.replace('sha256:', ''))
    const manifest = JSON.parse(
      readFileSync(join(space.volume, 'seed', blobOf(seed.digest)), 'utf8'),
    ) as Manifest
    const layer = (kind: RegExp): string =>
      manifest.layers.find(({ mediaType }) => kind.test(mediaType))!.digest
    const [pack, file] = [layer(/tar\+zstd$/), layer(/octet-stream$/)]
    const damaged = { manifest: seed.digest, index: manifest.config.digest, pack, file, lost: file }
    mkdirSync(join(space.volume, 'damaged'))
    for (const [name, digest] of Object.entries(damaged)) {
      const blob = join(copyOfSeed(`damaged/${name}`), blobOf(digest))
      rmSync(join(space.volume, 'damaged', name, 'target/small.txt'))
      const bytes = readFileSync(blob)
      bytes[bytes.length >> 1]! ^= 1
      if (name === 'lost') rmSync(blob)
      else writeFileSync(blob, bytes)
    }
    const before = contentOf(join(space.volume, 'damaged'))
    const mismatch = (more: Pick<Failure, 'message'> & Partial<Failure>): Failure => ({
      exit: 31,
      code: 'DIGEST_MISMATCH',
      ...more,
    })
    const failures: Record<keyof typeof damaged, Failure> = {
      manifest: mismatch({ message: /not what its digest says/, expected: seed.digest, found: /^sha256:/ }),
      index: mismatch({
        message: /not what its digest says/,
        expected: manifest.config.digest,
        found: /^sha256:/,
      }),
      pack: mismatch({ message: /./, found: /./ }),
      file: mismatch({ message: /"big\.bin" is not what/, expected: file, found: /^sha256:/ }),
      lost: {
        exit: 30,
        code: 'ARTIFACT_NOT_FOUND',
        message: new RegExp(`^the blob ${file} is missing from `),
      },
    }
    const attempts: Record<string, Attempt> = {}
    for (const [name, failure] of Object.entries(failures)) {
      const sharedPath = `${SHARED}/${name}`
      // A target that is there, and one that is not.
      for (const target of ['target', 'new']) {
        const params = { sharedPath, artifacts: [seed.artifact], path: `${sharedPath}/${target}` }
        attempts[`${name}-${target}`] = { contract: artifactRetrieve, params, failure }
      }
    }
    const log = await expectFailures('damaged', attempts)
    expect(changesOn(join(space.volume, 'damaged'), before, sealed()), log).toEqual([])
  })

  it('names and paths that would leave the volume', async () => {
    const folder = copyOfSeed('leaving')
    const before = contentOf(folder)
    const usage = (param: string): Failure => ({
      exit: 64,
      code: 'USAGE',
      message: new RegExp(`: ${param}: expected 1 to 128 letters, .*, found ".*\\.\\.`),
    })
    const unsafe = (message: RegExp, found: RegExp | string): Failure => ({
      exit: 33,
      code: 'UNSAFE_PATH',
      message,
      expected: /./,
      found,
    })
    const retrieve = (artifact: string, failure: Failure): Attempt => ({
      contract: artifactRetrieve,
      params: { artifacts: [artifact], path: `${SHARED}/new` },
      failure,
    })
    const reference = unsafe(/^the part of the artifact reference "\.\."/, '".."')
    const log = await expectFailures('leaving', {
      output: {
        contract: artifactStore,
        params: { path: `${SHARED}/target`, output: '../out' },
        failure: usage('output'),
      },
      source: {
        contract: artifactStore,
        params: { path: '../../target', output: 'out' },
        failure: unsafe(/^the path "\.\.\/\.\.\/target" leaves /, '../../target'),
      },
      target: {
        contract: artifactRetrieve,
        params: { artifacts: [seed.artifact], path: 'a/../../../../b' },
        failure: unsafe(/^the path "a\/\.\.\/\.\.\/\.\.\/\.\.\/b" leaves /, 'a/../../../../b'),
      },
      task: retrieve('../out', reference),
      middle: retrieve('build/../out', reference),
      uri: retrieve(`${missing}/..`, reference),
      run: {
        contract: artifactRetrieve,
        params: { artifacts: ['build/out'], path: `${SHARED}/new`, run: '../seed' },
        failure: unsafe(/^the run "\.\.\/seed"/, '"../seed"'),
      },
      status: { contract: workspaceStatus, params: { run: '..' }, failure: usage('run') },
      agent: {
        contract: workspaceStatus,
        params: { agent: '../x', phase: 'Running' },
        failure: usage('agent'),
      },
      lock: { contract: lockAcquire, params: { name: '../deploy' }, failure: usage('name') },
      archive: { contract: workspaceArchive, params: { run: '..' }, failure: usage('run') },
      agents: { contract: workspaceInit, params: { agents: 'writer,../reviewer' }, failure: usage('agents') },
    })
    expect(changesOn(folder, before), log).toEqual([])
    // Nor beside it.
    expect(
      Object.keys(contentOf(space.volume)).filter((path) => /^(out|target|new|b|x|deploy)$/.test(path)),
    ).toEqual([])
  })

  it('files that cannot be stored, and symlinks that lead out', async () => {
    const folder = copyOfSeed('sources')
    const before = contentOf(folder)
    const make = `#!/bin/sh
set -eu
mkdir absolute parent chain pipe setuid
for folder in absolute parent chain pipe setuid; do echo text > $folder/file.txt; done
head -c 2097152 /dev/urandom > parent/big.bin
ln -s /etc/passwd absolute/passwd
ln -s ../absolute parent/up
ln -s . chain/here
ln -s here/../../absolute chain/out
mkfifo pipe/fifo
chmod u+s setuid/file.txt
`
    const store = (path: string, failure: Failure): Attempt => ({
      contract: artifactStore,
      params: { path: `/workspace/${path}`, output: 'out' },
      failure,
    })
    const leads = (path: string, target: string): Failure => ({
      exit: 33,
      code: 'UNSAFE_PATH',
      message: new RegExp(`^the symlink "${path}" leads out of its tree$`),
      expected: 'a relative target inside the folder that is stored',
      found: JSON.stringify(target),
    })
    const unsupported = (path: string, found: RegExp): Failure => ({
      exit: 34,
      code: 'UNSUPPORTED_FILE',
      message: new RegExp(`${path} cannot be stored$`),
      expected: 'plain files, folders and symlinks',
      found,
    })
    const log = await expectFailures(
      'sources',
      {
        absolute: store('absolute', leads('passwd', '/etc/passwd')),
        parent: store('parent', leads('up', '../absolute')),
        chain: store('chain', leads('out', 'here/../../absolute')),
        pipe: store('pipe', unsupported('fifo', /fifo/)),
        setuid: store('setuid', unsupported('file.txt', /setuid/)),
        missing: store('gone', {
          exit: 37,
          code: 'SOURCE_NOT_FOUND',
          message: /^there is nothing at \/workspace\/gone$/,
        }),
      },
      { first: [script('make', make)] },
    )
    expect(changesOn(folder, before), log).toEqual([])
  })

  it('the same output stored twice by one pod, with other content', async () => {
    const folder = copyOfSeed('twice')
    const before = contentOf(folder)
    const steps = [
      script('make', '#!/bin/sh\nmkdir a b && echo first > a/it && echo second > b/it\n'),
      step('first', artifactStore, { path: '/workspace/a', output: 'out' }),
      { ...step('second', artifactStore, { path: '/workspace/b', output: 'out' }), onError: 'continue' },
      step('same', artifactStore, { path: '/workspace/a', output: 'out' }),
      step('read', artifactRetrieve, { artifacts: ['$(context.taskRun.name)/out'], path: '/workspace/c' }),
      script('look', '#!/bin/sh\ngrep -qx first c/it && [ "$(ls c)" = it ]\n'),
      // Once it has been retrieved too.
      { ...step('third', artifactStore, { path: '/workspace/b', output: 'out' }), onError: 'continue' },
    ]
    const { run, log } = await space.runTask({ taskSpec: taskSpec({ steps }), workspaces: onVolume('twice') })
    const [logs, exits] = [await logsOfSteps(NAMESPACE, run), exitCodesOf(run)]
    const exists = (why: RegExp): Failure => ({
      exit: 32,
      code: 'ARTIFACT_EXISTS',
      message: why,
      expected: /^content sha256:/,
      found: /^content sha256:/,
    })
    expect(exits, log).toEqual({ make: 0, first: 0, second: 32, same: 0, read: 0, look: 0, third: 32 })
    const samePod = /^workspace:\S+ was stored with other content, and by this same pod$/
    expectFailure(errorIn(logs['second']!), exits['second'], exists(samePod), log)
    const retrieved = /^workspace:\S+ was stored with other content, and somebody has retrieved that$/
    expectFailure(errorIn(logs['third']!), exits['third'], exists(retrieved), log)
    // What the first stored, its seal, and content that nothing names.
    const artifact = `artifacts/${run.metadata.uid}(/${run.metadata.name}(/out(/0\\.0(/(blobs|index\\.json|oci-layout))?|/0\\.1)?)?)?`
    expect(
      changesOn(folder, before, new RegExp(`^(${artifact}|store/blobs/sha256/[0-9a-f]{64})$`)),
      log,
    ).toEqual([])
  })

  it('a full disk, which takes what fits afterwards', async () => {
    const list = `#!/bin/sh
find /workspace/shared -mindepth 1 | while read -r path; do echo "on the volume: $path"; done
`
    const make = `#!/bin/sh
set -eu
mkdir big small many
head -c 8388608 /dev/urandom > big/file.bin
head -c 65536 /dev/urandom > small/file.bin
# Small files travel together, so this fills the disk in another way.
for i in $(seq 100); do head -c 65536 /dev/urandom > many/$i; done
`
    const store = (output: string): object =>
      step(output, artifactStore, { path: `/workspace/${output}`, output })
    const { run, log } = await space.runTask({
      taskSpec: taskSpec({
        steps: [
          script('make', make),
          { ...store('big'), onError: 'continue' },
          script('after-big', list),
          { ...store('many'), onError: 'continue' },
          script('after-many', list),
          store('small'),
          script('after-small', list),
        ],
      }),
      workspaces: [{ name: 'shared', emptyDir: { medium: 'Memory', sizeLimit: '4Mi' } }],
    })
    const [logs, exits] = [await logsOfSteps(NAMESPACE, run), exitCodesOf(run)]
    const full: Failure = { exit: 22, code: 'NO_SPACE', message: /ENOSPC: .*\/workspace\/shared\// }
    const listed = (name: string): string[] =>
      [...logs[name]!.matchAll(/^on the volume: \/workspace\/shared\/(.*)$/gm)]
        .map((match) => match[1]!)
        .sort()
    for (const name of ['big', 'many']) {
      expectFailure(errorIn(logs[name]!), exits[name], full, log)
      // Empty folders may stay; no artifact, no blob and no temporary name does.
      expect(listed(`after-${name}`), log).toContain('.shared-workspace/format.json')
      const left = listed(`after-${name}`).filter(
        (path) => !/^(\.shared-workspace(\/.*)?|store(\/blobs(\/sha256)?)?)$/.test(path),
      )
      expect(left, log).toEqual([])
    }
    expect(exits['small'], log).toBe(0)
    expect(listed('after-small'), log).toContain(
      `artifacts/${run.metadata.uid}/${run.metadata.name}/small/0.0/index.json`,
    )
  })

  it('steps that begin on a volume that is read-only', async () => {
    const folder = copyOfSeed('read-only')
    const before = contentOf(folder)
    const failure: Failure = { exit: 21, code: 'NOT_WRITABLE', message: /EROFS: .*\/workspace\/shared\// }
    const log = await expectFailures(
      'read-only',
      {
        init: { contract: workspaceInit, params: {}, failure },
        acquire: { contract: lockAcquire, params: { name: 'deploy' }, failure },
        retrieve: {
          contract: artifactRetrieve,
          params: { artifacts: [seed.artifact], path: `${SHARED}/new` },
          failure,
        },
        set: { contract: workspaceStatus, params: { run: seed.runId, phase: 'Running' }, failure },
      },
      { workspaces: onVolume('read-only', { readOnly: true }) },
    )
    expect(changesOn(folder, before), log).toEqual([])
  })

  it('targets into which nothing can be retrieved', async () => {
    const folder = copyOfSeed('targets')
    for (const name of ['linked', 'dangling']) mkdirSync(join(folder, name))
    symlinkSync('/workspace', join(folder, 'linked/sub'))
    symlinkSync('/nowhere', join(folder, 'dangling/small.txt'))
    symlinkSync('/nowhere', join(folder, 'link'))
    execFileSync('chown', [
      '-R',
      `${GROUP}:${GROUP}`,
      ...['linked', 'dangling'].map((name) => join(folder, name)),
    ])
    const before = contentOf(folder)
    const retrieve = (path: string, failure: Failure): Attempt => ({
      contract: artifactRetrieve,
      params: { artifacts: [seed.artifact], path: `${SHARED}/${path}` },
      failure,
    })
    const conflict = (found: RegExp): Failure => ({
      exit: 35,
      code: 'TARGET_CONFLICT',
      message: /other content/,
      found,
    })
    const log = await expectFailures('targets', {
      file: retrieve('target/small.txt', conflict(/not a folder/)),
      link: retrieve('link', conflict(/not a folder/)),
      dangling: retrieve('dangling', conflict(/^small\.txt \(not a file\)$/)),
      linked: retrieve('linked', {
        exit: 33,
        code: 'UNSAFE_PATH',
        message: /linked\/sub is a symlink that leads out of the target$/,
        expected: 'a folder to write into',
        found: '/workspace',
      }),
    })
    expect(changesOn(folder, before, sealed()), log).toEqual([])
  })

  it('parameters of another form', async () => {
    const folder = copyOfSeed('parameters')
    const before = contentOf(folder)
    const attempt = (contract: StepContract, params: Attempt['params'], message: RegExp): Attempt => ({
      contract,
      params,
      failure: { exit: 64, code: 'USAGE', message },
    })
    const store = { path: `${SHARED}/target`, output: 'out' }
    const log = await expectFailures('parameters', {
      store: attempt(
        artifactStore,
        { ...store, overwrite: 'maybe' },
        /overwrite: expected true or false, found "maybe"/,
      ),
      path: attempt(artifactStore, { ...store, path: '' }, /path: expected some text, found none/),
      retrieve: attempt(
        artifactRetrieve,
        { artifacts: ['build'], path: 'new' },
        /^"build" does not name an artifact$/,
      ),
      acquire: attempt(
        lockAcquire,
        { name: 'deploy', scope: 'all' },
        /scope: expected run, task, found "all"/,
      ),
      release: attempt(
        lockRelease,
        { name: 'deploy', epoch: '-1' },
        /epoch: expected the epoch that .*, found "-1"/,
      ),
      status: attempt(workspaceStatus, { phase: 'Happy' }, /phase: expected .*Running.*, found "Happy"/),
      init: attempt(workspaceInit, { agents: 'a b' }, /agents: expected .*, found "a b"/),
      cleanup: attempt(workspaceCleanup, { grace: '0s' }, /grace: expected a duration over 0 .*, found "0s"/),
    })
    expect(changesOn(folder, before), log).toEqual([])
  })

  it('volumes and runs that are not there', async () => {
    const folder = copyOfSeed('absent')
    mkdirSync(join(folder, 'empty'))
    execFileSync('chown', [`${GROUP}:${GROUP}`, join(folder, 'empty')])
    const before = contentOf(folder)
    const absent = (place: string, found: RegExp): Failure => ({
      exit: 20,
      code: 'STORAGE_NOT_MOUNTED',
      message: new RegExp(`at /workspace/shared/${place}$`),
      expected: /./,
      found,
    })
    const empty = { sharedPath: `${SHARED}/empty` }
    const nowhere = { sharedPath: `${SHARED}/nowhere` }
    const noMarker = absent('empty', /^a folder without it$/)
    const run = (contract: StepContract, params: Attempt['params'], message: RegExp): Attempt => ({
      contract,
      params: { run: 'no-such-run', ...params },
      failure: { exit: 50, code: 'RUN_NOT_FOUND', message, expected: /./ },
    })
    const artifacts = { artifacts: ['build/out'], path: `${SHARED}/new` }
    const log = await expectFailures('absent', {
      status: { contract: workspaceStatus, params: empty, failure: noMarker },
      release: { contract: lockRelease, params: { ...empty, name: 'deploy' }, failure: noMarker },
      archive: { contract: workspaceArchive, params: empty, failure: noMarker },
      cleanup: { contract: workspaceCleanup, params: empty, failure: noMarker },
      init: {
        contract: workspaceInit,
        params: nowhere,
        failure: absent('nowhere', /^nothing, or not a folder$/),
      },
      'retrieve-run': run(artifactRetrieve, artifacts, /^there is no run no-such-run$/),
      'archive-run': run(workspaceArchive, {}, /^there is no run at \S+\/no-such-run$/),
      'own-run': run(workspaceStatus, { run: '' }, /^there is no run at /),
    })
    expect(changesOn(folder, before), log).toEqual([])
  })
})
