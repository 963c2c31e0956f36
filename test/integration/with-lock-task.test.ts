/** The Task with-lock as the local runner runs it: the command in a step, and the lock held by a sidecar. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { renderYaml } from '../../src/catalog/render.ts'
import { DEFAULTS } from '../../src/catalog/settings.ts'
import { taskOf } from '../../src/catalog/task.ts'
import { describeLock, volumeLocks, type LockState } from '../../src/locks/index.ts'
import { contract } from '../../src/steps/with-lock/contract.ts'
import { ensureVolume } from '../../src/volume/volume.ts'
import { run, until } from '../local/helper.ts'
import { temporaryFolder } from '../support/folder.ts'

/** The shells that images have as `sh`. */
const SHELLS = [['dash'], ['bash', '--posix'], ['busybox', 'sh']]

async function scene(shell = ['sh']) {
  const shared = await temporaryFolder()
  const volume = await ensureVolume(shared, () => {})
  const task = taskOf(contract, DEFAULTS)
  for (const container of [...task.spec!.steps!, ...task.spec!.sidecars!])
    container.command!.splice(0, 1, ...shell)

  /** Runs a TaskRun of it. */
  async function start(params: Record<string, string | string[]>, cancel?: AbortSignal) {
    const given = { name: 'deploy', ...params }
    const taskRun = {
      apiVersion: 'tekton.dev/v1',
      kind: 'TaskRun',
      metadata: { generateName: 'r-' },
      spec: {
        taskRef: { name: 'with-lock' },
        params: Object.entries(given).map(([name, value]) => ({ name, value })),
        workspaces: [{ name: 'shared', persistentVolumeClaim: { claimName: 'c' } }],
      },
    }
    const options = { workspaces: { shared }, ...(cancel ? { cancel } : {}) }
    const { report, output } = await run(renderYaml(taskRun, task), options)
    return { report, exitCode: report.exitCode, output: output.join('\n'), results: report.tasks[0]!.results }
  }
  const state = (): Promise<LockState> => describeLock(volumeLocks(volume), 'deploy')
  const file = (name: string): string => join(shared, name)
  const written = (name: string) => until(() => existsSync(file(name)) || undefined, 40_000)
  return { shared, volume, start, state, file, written }
}

/** The processes of this machine that were started so, with the volume in their environment. */
const processesOf = (shared: string, command: string): number[] =>
  readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => textOf(pid, 'cmdline').includes(command) && textOf(pid, 'environ').includes(shared))

function textOf(pid: number, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8')
  } catch {
    return ''
  }
}

const STUBBORN = 'trap "" TERM; : > "$1/in"; while :; do sleep 0.1; done'
const WORKING = ': > "$1/in"; while :; do sleep 0.1; done'
const isRunning = (shared: string): boolean => processesOf(shared, 'while :; do sleep 0.1; done').length > 0

describe.each(SHELLS)('with %s as its shell', (...shell) => {
  test('the Task ends as the command does, and the lock is free then', async () => {
    const { start, state } = await scene(shell)
    const ran = await start({ script: 'echo "<$LOCK_NAME $LOCK_FENCE $1>"; exit 7', args: ['a  b'] })
    expect(ran.output).toContain('<deploy deploy@1 a  b>')
    expect(ran.output).toContain('lock deploy acquired with epoch 1')
    expect(ran.exitCode).toBe(7)
    expect(ran.results).toMatchObject({ epoch: '1', 'exit-code': '7' })
    expect(await state()).toMatchObject({ holders: [], ended: [{ how: 'released' }] })
  })

  test('a cancel reaches the command, and the lock is free once that has ended', async () => {
    const { shared, start, state, written } = await scene(shell)
    const cancel = new AbortController()
    const script =
      'trap "sleep 1; : > \\"$1/tidied\\"; exit 0" TERM; : > "$1/in"; while :; do sleep 0.1; done'
    const running = start({ script, args: [shared] }, cancel.signal)
    await written('in')
    cancel.abort()
    await written('tidied')
    expect((await running).report.status).toBe('Cancelled')
    expect(await state()).toMatchObject({ holders: [], ended: [{ how: 'released' }] })
    expect(isRunning(shared)).toBe(false)
  })

  test('a lock that is lost by force stops the command, whatever it does about SIGTERM', async () => {
    const { shared, volume, start, state, written } = await scene(shell)
    const running = start({ script: STUBBORN, args: [shared] })
    await written('in')
    const [hold] = (await state()).holders
    const { ticket, by } = hold!.request
    let tried = false
    await volumeLocks(volume)
      .open('deploy')
      .change((now) => {
        if (tried) return { done: now }
        tried = true
        return { append: { kind: 'forced', ticket, epoch: hold!.epoch, reason: 'an emergency', by } }
      })
    const ran = await running
    expect(ran.exitCode).toBe(46)
    expect(ran.output).toContain('forced by')
    expect(isRunning(shared)).toBe(false)
  })

  test.for([
    ['whose program is killed', process.execPath],
    ['that is killed whole', ''],
  ] as const)('a sidecar %s stops the command, too', async ([, starts]) => {
    const { shared, start, written } = await scene(shell)
    const running = start({ script: WORKING, args: [shared] })
    await written('in')
    const killed = processesOf(shared, 'with-lock/main.ts').filter((pid) =>
      textOf(pid, 'cmdline').startsWith(starts),
    )
    expect(killed).toHaveLength(starts ? 1 : 2)
    for (const pid of killed) process.kill(pid, 'SIGKILL')
    const ran = await running
    expect(ran.exitCode).toBe(46)
    expect(ran.output).toContain('stopping the command')
    expect(isRunning(shared)).toBe(false)
  })
})

describe('the Task', () => {
  test('runs commands of several runs one after the other', async () => {
    const { shared, start } = await scene()
    const script = 'set -C; : > "$1/inside"; sleep 0.2; rm "$1/inside"'
    const runs = await Promise.all([1, 2, 3].map(() => start({ script, args: [shared] })))
    expect(runs.map(({ exitCode }) => exitCode)).toEqual([0, 0, 0])
  })

  test('skips by policy, and says why it could not run', async () => {
    const { shared, start, file, written } = await scene()
    const cancel = new AbortController()
    const holder = start({ script: ': > "$1/in"; sleep 60', args: [shared] }, cancel.signal)
    await written('in')
    const skipped = await start({ policy: 'skip', script: ': > "$1/ran"', args: [shared] })
    expect(skipped).toMatchObject({ exitCode: 0, results: { epoch: '' } })
    expect((await start({ policy: 'fail', script: 'true' })).exitCode).toBe(40)
    const refused = await start({ name: '../up', script: 'true' })
    expect(refused.exitCode).toBe(64)
    expect(refused.output).toContain('1 to 128 letters')
    expect((await start({})).exitCode).toBe(64)
    cancel.abort()
    await holder
    expect(existsSync(file('ran'))).toBe(false)
  })

  test('that is cancelled while it waits leaves no ticket', async () => {
    const { shared, start, state, file, written } = await scene()
    const [first, second] = [new AbortController(), new AbortController()]
    const holder = start({ script: ': > "$1/in"; sleep 60', args: [shared] }, first.signal)
    await written('in')
    const waiting = start({ script: ': > "$1/ran"', args: [shared] }, second.signal)
    await until(async () => (await state()).queue.length === 1 || undefined, 40_000)
    second.abort()
    expect((await waiting).report.status).toBe('Cancelled')
    expect((await state()).queue).toEqual([])
    first.abort()
    await holder
    expect(existsSync(file('ran'))).toBe(false)
  })

  test('hands values on as they are', async () => {
    const { start } = await scene()
    const ran = await start({ args: ['printf', '<%s>', '$HOME; ls', '', "it's", '*', 'a  b'] })
    expect(ran.output).toContain("<$HOME; ls><><it's><*><a  b>")
  })
})
