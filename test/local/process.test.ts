/** What is left after a run, however it ends: of processes, of its lock and of its folders. */
import { spawn, type ChildProcess } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { access, open, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { flock } from '../../src/platform/flock.ts'
import { layoutOf } from '../../src/volume/layout.ts'
import { localLiveness } from '../../src/volume/liveness-local.ts'
import { pipeline, read, script, task, temporary, until } from './helper.ts'

interface Runner {
  process: ChildProcess
  output(): string
  ended: Promise<number | string>
  /** The uid of the run, once it has said it. */
  uid(): Promise<string>
}

/** Starts the program as a user does. */
async function start(yaml: string, args: string[], env: Record<string, string> = {}): Promise<Runner> {
  const folder = await temporary()
  await writeFile(join(folder, 'file.yaml'), yaml)
  const main = join(import.meta.dirname, '../../src/local/main.ts')
  const child = spawn(process.execPath, [main, join(folder, 'file.yaml'), '--catalog', folder, ...args], {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  onTestFinished(() => void child.kill('SIGKILL'))
  let output = ''
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk: Buffer) => (output += chunk.toString()))
  const ended = new Promise<number | string>((resolve) =>
    child.on('close', (code, signal) => resolve(code ?? signal ?? 'unknown')),
  )
  const uid = () => until(() => /\(([0-9a-f-]{36})\)/.exec(output)?.[1])
  return { process: child, output: () => output, ended, uid }
}

/** A zombie that nobody reaps, as in a container without an init, has ended. */
function isRunning(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`).toString())
  } catch {
    return false
  }
}

/** The pids that steps wrote into a folder, each into a file of its name. */
async function pidsIn(folder: string, ...names: string[]): Promise<number[]> {
  const pids = await Promise.all(
    names.map((name) =>
      until(async () => {
        const text = await read(folder, name).catch(() => '')
        return text.endsWith('\n') ? Number(text) : undefined
      }),
    ),
  )
  // A failing test leaves nothing either.
  onTestFinished(() => pids.filter(isRunning).forEach((pid) => process.kill(pid, 'SIGKILL')))
  return pids
}

async function isFree(path: string): Promise<boolean> {
  const handle = await open(path, 'r+')
  try {
    return await flock().tryLock(handle.fd, 'shared')
  } finally {
    await handle.close()
  }
}

const owner = (uid: string) => ({ kind: 'LocalRun', namespace: 'local', name: 'p', uid }) as const
const gone = (path: string) =>
  access(path).then(
    () => false,
    () => true,
  )

/** Two steps' worth of processes: the shell, and a child of it that the shell waits for. */
const twoProcesses = (before = ':', after = 'wait') =>
  pipeline(`
    workspaces: [{name: shared}]
    tasks:
      - name: t
        workspaces: [{name: shared}]
        taskSpec:
          workspaces: [{name: shared}]
          steps:
            - name: s
              image: i
              workingDir: $(workspaces.shared.path)
              script: |
                ${before}
                sleep 60 & echo $! > child
                echo $$ > shell
                ${after}
            - {name: next, image: i, script: 'touch $(workspaces.shared.path)/next'}
    finally:
      - {name: f, workspaces: [{name: shared}], taskSpec: {workspaces: [{name: shared}], steps: [{name: s, image: i, script: 'touch $(workspaces.shared.path)/finally'}]}}`)

/** A step that knows the uid of its TaskRun, and the shared folder. */
const STEP_ENV =
  "steps: [{name: s, image: i, env: [{name: UID_OF, valueFrom: {fieldRef: {fieldPath: \"metadata.labels['tekton.dev/taskRunUID']\"}}}, {name: TO, value: $(workspaces.shared.path)}], script: 'TEXT'}]"

describe.each(['SIGINT', 'SIGTERM', 'SIGHUP'] as const)('%s', (signal) => {
  test(
    'cancels: no process is left, finally does not run, the lock is gone',
    { timeout: 20_000 },
    async () => {
      const shared = await temporary()
      const tmp = await temporary()
      const runner = await start(twoProcesses(), ['--workspace', `shared=${shared}`], { TMPDIR: tmp })
      const pids = await pidsIn(shared, 'child', 'shell')
      const uid = await runner.uid()
      expect(await localLiveness(shared)(owner(uid))).toMatchObject({ state: 'alive' })
      runner.process.kill(signal)
      expect(await runner.ended).toBe(130)
      expect(pids.filter(isRunning)).toEqual([])
      expect(await gone(layoutOf(shared).alive(uid))).toBe(true)
      expect(await localLiveness(shared)(owner(uid))).toMatchObject({ state: 'gone' })
      expect((await readdir(shared)).sort()).toEqual(['.shared-workspace', 'child', 'shell'])
      expect(runner.output()).toMatch(/Cancelled after .*finally tasks did not run/)
      expect(await readdir(tmp)).toEqual([])
    },
  )
})

test('a second Ctrl-C kills what ignores the first', { timeout: 20_000 }, async () => {
  const shared = await temporary()
  const runner = await start(
    twoProcesses("trap 'echo still here' TERM", 'while :; do sleep 0.1 || true; done'),
    ['--workspace', `shared=${shared}`],
  )
  const pids = await pidsIn(shared, 'child', 'shell')
  runner.process.kill('SIGINT')
  await until(() => (runner.output().includes('still here') ? true : undefined))
  expect(isRunning(pids[1] ?? 0)).toBe(true)
  runner.process.kill('SIGINT')
  expect(await runner.ended).toBe(130)
  expect(pids.filter(isRunning)).toEqual([])
})

test(
  'after kill -9 of the runner, the lock is held for as long as a step lives',
  { timeout: 20_000 },
  async () => {
    const shared = await temporary()
    const runner = await start(twoProcesses(), ['--workspace', `shared=${shared}`], {
      TMPDIR: await temporary(),
    })
    const [child, shell] = await pidsIn(shared, 'child', 'shell')
    const uid = await runner.uid()
    const path = layoutOf(shared).alive(uid)
    runner.process.kill('SIGKILL')
    expect(await runner.ended).toBe('SIGKILL')
    expect(isRunning(shell ?? 0)).toBe(true)
    expect(await isFree(path)).toBe(false)
    expect(await localLiveness(shared)(owner(uid))).toMatchObject({ state: 'alive' })
    process.kill(shell ?? 0, 'SIGKILL')
    await until(() => (isRunning(shell ?? 0) ? undefined : true))
    // The grandchild holds it as well.
    expect(await isFree(path)).toBe(false)
    process.kill(child ?? 0, 'SIGKILL')
    await until(async () => ((await isFree(path)) ? true : undefined))
    expect(await localLiveness(shared)(owner(uid))).toMatchObject({ state: 'gone' })
  },
)

test('a TaskRun has a lock of its own, which ends with it', { timeout: 20_000 }, async () => {
  const shared = await temporary()
  const step = (text: string) =>
    `workspaces: [{name: shared}], taskSpec: {workspaces: [{name: shared}], ${STEP_ENV.replace('TEXT', text)}}`
  const yaml = pipeline(`
    workspaces: [{name: shared}]
    tasks:
      - {name: a, ${step('echo $UID_OF > $TO/a')}}
      - {name: b, runAfter: [a], ${step('echo $UID_OF > $TO/b; ls $TO/.shared-workspace/local-runs > $TO/held; cat')}}`)
  const runner = await start(yaml, ['--workspace', `shared=${shared}`])
  expect(await runner.ended).toBe(0)
  const [uid, b] = [await runner.uid(), (await read(shared, 'b')).trim()]
  expect((await read(shared, 'held')).trim().split('\n').sort()).toEqual([uid, b].sort())
  expect(await readdir(join(shared, '.shared-workspace/local-runs'))).toEqual([])
})

test('what a step leaves in the background ends with the step', { timeout: 20_000 }, async () => {
  const shared = await temporary()
  const yaml = task(`
    workspaces: [{name: shared}]
    steps:
      - {name: a, image: i, script: 'sleep 60 & echo $! > $(workspaces.shared.path)/pid'}
      - {name: b, image: i, script: 'grep "^State:.[^Z]" "/proc/$(cat $(workspaces.shared.path)/pid)/status" && exit 9 || echo ended'}`)
  const runner = await start(yaml, ['--workspace', `shared=${shared}`])
  expect(await runner.ended).toBe(0)
  expect(runner.output()).toContain('b] ended')
  expect(isRunning((await pidsIn(shared, 'pid'))[0] ?? 0)).toBe(false)
})

test('what left its group for good is warned of, and holds the lock on', { timeout: 20_000 }, async () => {
  const shared = await temporary()
  const yaml = task(`
    workspaces: [{name: shared}]
    steps: [{name: a, image: i, script: "setsid sh -c 'echo $$ > $(workspaces.shared.path)/pid; exec sleep 60' & sleep 0.3"}]`)
  const runner = await start(yaml, ['--workspace', `shared=${shared}`])
  expect(await runner.ended).toBe(0)
  expect(runner.output()).toMatch(/warning: a process that a step of t-\w+ started is still running/)
  const [pid] = await pidsIn(shared, 'pid')
  const path = layoutOf(shared).alive(await runner.uid())
  expect(await isFree(path)).toBe(false)
  process.kill(pid ?? 0, 'SIGKILL')
  await until(async () => ((await isFree(path)) ? true : undefined))
})

describe('the program', () => {
  test('says how a step failed, what became of each task, and exits with the code of the step', async () => {
    const runner = await start(
      pipeline(
        `
        tasks:
          - {name: good, ${script('echo fine')}}
          - {name: bad, runAfter: [good], ${script('seq 30; exit 42')}}
          - {name: never, runAfter: [bad], ${script('true')}}
        results: [{name: none, value: $(tasks.bad.results.r)}]`.replace(
          'bad, runAfter: [good], taskSpec: {',
          'bad, runAfter: [good], taskSpec: {results: [{name: r}], ',
        ),
      ),
      [],
    )
    expect(await runner.ended).toBe(42)
    expect(runner.output()).toContain('not isolated')
    expect(runner.output()).toMatch(/^\[p-\w+-good s\] fine$/m)
    expect(runner.output()).toMatch(/^p-\w+-bad: step s failed with exit code 42\n {4}11\n/m)
    expect(runner.output()).toMatch(/^good +Succeeded +\d/m)
    expect(runner.output()).toMatch(/^never +Skipped \(the run was stopping\)$/m)
  })

  test('shows an artifact that a task hands on as one string', async () => {
    const text = `printf 'workspace://v/r/t/o@sha256:${'cd'.repeat(32)}' > $(results.artifact.path)`
    const runner = await start(
      pipeline(`tasks: [{name: t, ${script(text, 'results: [{name: artifact}]')}}]`),
      [],
    )
    expect(await runner.ended).toBe(0)
    expect(runner.output()).toMatch(/^t +Succeeded +\S+ s +t\/o +sha256:cdcdcdcdcdcd$/m)
  })

  test('shows artifacts with digest and size, and the results of the pipeline', async () => {
    const outputs = `printf '{"uri":"workspace://v/r/t/o","digest":"sha256:${'ab'.repeat(32)}"}' > $(results.O_ARTIFACT_OUTPUTS.path); printf 1234 > $(results.size.path)`
    const results =
      'results: [{name: O_ARTIFACT_OUTPUTS, type: object, properties: {uri: {}, digest: {}}}, {name: size}]'
    const runner = await start(
      pipeline(
        `tasks: [{name: t, ${script(outputs, results)}}]\nresults: [{name: uri, value: $(tasks.t.results.O_ARTIFACT_OUTPUTS.uri)}]`,
      ),
      [],
    )
    expect(await runner.ended).toBe(0)
    expect(runner.output()).toMatch(/^t +Succeeded +\S+ s +t\/o +sha256:abababababab +1234$/m)
    expect(runner.output()).toMatch(/^ {2}uri: workspace:\/\/v\/r\/t\/o$/m)
  })

  test.each([
    ['no pipeline', '', []],
    ['a bad option', 'x', ['--wat']],
    ['a bad timeout', 'x', ['--timeout', 'soon']],
    ['a param without a value', 'x', ['--param', 'x']],
    ['a file that cannot run', 'kind: x', []],
    ['a param that is not declared', pipeline(`tasks: [{name: t, ${script('true')}}]`), ['--param', 'x=y']],
    [
      'a workspace that is no folder',
      pipeline(`workspaces: [{name: w}]\ntasks: [{name: t, ${script('true')}}]`),
      ['--workspace', 'w=/none'],
    ],
  ])('exits with 64 for %s', async (_, yaml, args) => {
    const runner = await start(yaml, args)
    expect(await runner.ended).toBe(64)
    expect(runner.output()).not.toContain('started')
  })
})
