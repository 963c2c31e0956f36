/** The step with-lock as a process, with commands that are processes: what it runs, stops, holds and leaves. */
import { existsSync, readFileSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs'
import { mkdir, readFile } from 'node:fs/promises'
import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { execa } from 'execa'
import { describe, expect, onTestFinished, test } from 'vitest'
import { describeLock, volumeLocks, type LockState } from '../../src/locks/index.ts'
import { flock } from '../../src/platform/flock.ts'
import * as fs from '../../src/platform/fs.ts'
import { takeFlock } from '../../src/steps/with-lock/flock.ts'
import { layoutOf } from '../../src/volume/layout.ts'
import { ensureVolume } from '../../src/volume/volume.ts'
import { temporaryFolder } from '../support/folder.ts'
import { identityOf } from '../support/step.ts'

const PROGRAM = join(import.meta.dirname, '../steps/with-lock-program.ts')
const EXCLUSIVELY = ['set -C', ': > "$1/inside"', 'sleep 0.2', 'rm "$1/inside"'].join('\n')

interface Params {
  mode?: string
  limit?: string
  script?: string
  args?: string[]
  policy?: string
  timeout?: string
  flock?: string
  name?: string
}

async function scene() {
  const [shared, resultsIn] = [await temporaryFolder(), await temporaryFolder()]
  const volume = await ensureVolume(shared, () => {})
  const layout = layoutOf(shared)
  await mkdir(join(shared, '.shared-workspace/local-runs'), { recursive: true })

  /** Starts the step in a task of its own, which lives for as long as the test does. */
  async function start(run: string, { args = [], ...params }: Params) {
    const runner = await fs.create(layout.alive(`uid-of-${run}-task`))
    onTestFinished(() => runner.close())
    await flock().tryLock(runner.fd, 'exclusive')
    const results = join(resultsIn, randomUUID())
    await mkdir(results)
    const all = {
      name: 'deploy',
      mode: 'exclusive',
      policy: 'wait',
      timeout: '1m',
      priority: '0',
      script: '',
      flock: '',
      ...params,
    }
    const env: Record<string, string> = {
      ...identityOf(run, 'task'),
      PATH: process.env['PATH']!,
      WORKSPACE_SHARED: shared,
      SHARED_WORKSPACE_LOCAL: 'true',
      SHARED_WORKSPACE_LOG: 'text',
      FOLDER: shared,
    }
    for (const [name, value] of Object.entries(all)) env[`PARAM_${name.toUpperCase()}`] = value
    for (const name of ['epoch', 'holder', 'waited-ms', 'exit-code'])
      env[`RESULT_${name.toUpperCase().replace('-', '_')}`] = join(results, name)
    const child = execa('node', [PROGRAM, ...args], { env, extendEnv: false, reject: false, all: true })
    onTestFinished(() => void child.kill('SIGKILL'))
    let output = ''
    child.all.on('data', (chunk) => (output += String(chunk)))
    const ended = child.then(({ exitCode, signal }) => exitCode ?? signal)
    const result = (name: string) => readFile(join(results, name), 'utf8').catch(() => undefined)
    return {
      child,
      ended,
      output: () => output,
      told: (text: string) => until(() => output.includes(text), text),
      result,
    }
  }
  const state = (): Promise<LockState> => describeLock(volumeLocks(volume), 'deploy')
  const file = (name: string): string => join(shared, name)
  const written = (name: string) => until(() => existsSync(file(name)), name)
  return { shared, start, state, file, written }
}

async function until(condition: () => boolean | Promise<boolean>, what: string): Promise<void> {
  const deadline = performance.now() + 40_000
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`waited in vain for ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}

/** A zombie that nobody reaps has ended. */
function isRunning(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
  } catch {
    return false
  }
}

const pidIn = (path: string): number => Number(readFileSync(path, 'utf8'))

describe('the command', () => {
  test('runs under the lock, which is free when it has ended', async () => {
    const { start, state } = await scene()
    const step = await start('ann', { script: 'echo "$LOCK_NAME $LOCK_EPOCH $LOCK_FENCE"' })
    expect(await step.ended).toBe(0)
    expect(step.output()).toContain('deploy 1 deploy@1')
    expect(await step.result('epoch')).toBe('1')
    expect(await step.result('exit-code')).toBe('0')
    expect(await state()).toMatchObject({ holders: [], ended: [{ how: 'released', epoch: 1 }] })
  })

  test('is a script with arguments, or a command with arguments that no shell reads', async () => {
    const { start } = await scene()
    const script = await start('ann', { script: 'printf "<%s>" "$@"', args: ['a b', '$(id)', ''] })
    expect(await script.ended).toBe(0)
    expect(script.output()).toContain('<a b><$(id)><>')
    const command = await start('bob', { args: ['printf', '<%s>', '$HOME; ls', '*'] })
    expect(await command.ended).toBe(0)
    expect(command.output()).toContain('<$HOME; ls><*>')
  })

  test.for([
    [['sh', '-c', 'exit 7'], 7],
    [['sh', '-c', 'kill -9 $$'], 137],
    [['/nowhere/to/be/found'], 127],
    [['/etc/passwd'], 126],
  ] as const)('%j ends the step with %d and frees the lock', async ([args, code]) => {
    const { start, state } = await scene()
    const step = await start('ann', { args: [...args] })
    expect(await step.ended).toBe(code)
    expect(await step.result('exit-code')).toBe(String(code))
    expect((await state()).holders).toEqual([])
  })

  test('is needed', async () => {
    const { start } = await scene()
    const step = await start('ann', {})
    expect(await step.ended).toBe(64)
    expect(step.output()).toContain('nothing to run under the lock')
  })

  test('never runs beside another', async () => {
    const { start, shared } = await scene()
    const steps = await Promise.all(
      ['a', 'b', 'c', 'd'].map((run) => start(run, { script: EXCLUSIVELY, args: [shared] })),
    )
    expect(await Promise.all(steps.map((step) => step.ended))).toEqual([0, 0, 0, 0])
  })

  test.for([{ mode: 'shared' }, { mode: 'counting', limit: '2' }])(
    'runs beside another as %j',
    async (terms) => {
      const { start, written } = await scene()
      const ann = await start('ann', { ...terms, script: ': > "$FOLDER/ann"; sleep 60' })
      await written('ann')
      const bob = await start('bob', { ...terms, policy: 'fail', script: 'true' })
      expect(await bob.ended).toBe(0)
      const cid = await start('cid', { policy: 'fail', script: 'true' })
      expect(await cid.ended).toBe(40)
      ann.child.kill('SIGTERM')
      expect(await ann.ended).toBe(143)
    },
  )

  test('does not run where the lock is held and the policy is to skip', async () => {
    const { start, file, written } = await scene()
    const ann = await start('ann', { script: ': > "$FOLDER/in"; sleep 60' })
    await written('in')
    const bob = await start('bob', { policy: 'skip', script: ': > "$FOLDER/bob"' })
    expect(await bob.ended).toBe(0)
    expect(existsSync(file('bob'))).toBe(false)
    expect(await bob.result('epoch')).toBe('')
    expect(await bob.result('exit-code')).toBeUndefined()
    const cid = await start('cid', { policy: 'fail', script: 'true' })
    expect(await cid.ended).toBe(40)
    ann.child.kill('SIGTERM')
    await ann.ended
  })

  test.for(['../up', '', '.hidden', 'a/b', '$(id)', 'x'.repeat(129)])(
    'the lock %j is refused',
    async (name) => {
      const { start } = await scene()
      expect(await (await start('ann', { name, script: 'true' })).ended).toBe(64)
    },
  )
})

describe('a signal', () => {
  test('reaches the command, and the lock is free once that has ended', async () => {
    const { start, state, written } = await scene()
    const step = await start('ann', {
      script: 'trap "sleep 0.5; echo tidied; exit 5" TERM; : > "$FOLDER/in"; while :; do sleep 0.05; done',
    })
    await written('in')
    step.child.kill('SIGTERM')
    await step.told('SIGTERM to the command')
    expect((await state()).holders).toHaveLength(1)
    expect(await step.ended).toBe(5)
    expect(step.output()).toContain('tidied')
    expect((await state()).holders).toEqual([])
  })

  test('that comes while it waits leaves no ticket and runs nothing', async () => {
    const { start, state, file, written } = await scene()
    const ann = await start('ann', { script: ': > "$FOLDER/in"; sleep 60' })
    await written('in')
    const bob = await start('bob', { script: ': > "$FOLDER/bob"' })
    await bob.told('waiting for lock deploy')
    bob.child.kill('SIGTERM')
    expect(await bob.ended).toBe(143)
    expect((await state()).queue).toEqual([])
    ann.child.kill('SIGTERM')
    expect(await ann.ended).toBe(143)
    expect(existsSync(file('bob'))).toBe(false)
  })

  test('ends what the command has started, too', async () => {
    const { start, file, written } = await scene()
    const step = await start('ann', {
      script:
        'sh -c \'trap "" TERM; echo $$ > "$FOLDER/pid"; : > "$FOLDER/in"; while :; do sleep 0.1; done\' & wait',
    })
    await written('in')
    step.child.kill('SIGTERM')
    expect(await step.ended).toBe(143)
    await until(() => !isRunning(pidIn(file('pid'))), 'the grandchild to end')
  })
})

describe('a lock that is lost', () => {
  test('by force stops the command, whatever it does about SIGTERM', async () => {
    const { shared, start, state, file, written } = await scene()
    const step = await start('ann', {
      script: 'trap "" TERM; echo $$ > "$FOLDER/pid"; : > "$FOLDER/in"; while :; do sleep 0.1; done',
    })
    await written('in')
    const [hold] = (await state()).holders
    const lock = volumeLocks(await ensureVolume(shared, () => {})).open('deploy')
    const { ticket, by } = hold!.request
    let tried = false
    await lock.change((now) => {
      if (tried) return { done: now }
      tried = true
      return { append: { kind: 'forced', ticket, epoch: hold!.epoch, reason: 'an emergency', by } }
    })
    expect(await step.ended).toBe(46)
    expect(step.output()).toMatch(/lock deploy is lost, epoch 1: forced by .*an emergency/)
    expect(await step.result('exit-code')).toBeUndefined()
    expect(isRunning(pidIn(file('pid')))).toBe(false)
  })

  test('to the next by a pause is noticed on return', async () => {
    const { start, state, file, written } = await scene()
    const ann = await start('ann', { script: 'echo $$ > "$FOLDER/pid"; : > "$FOLDER/in"; sleep 60' })
    await written('in')
    ann.child.kill('SIGSTOP')
    const bob = await start('bob', { script: 'echo here' })
    expect(await bob.ended).toBe(0)
    expect((await state()).ended).toMatchObject([{ how: 'released' }, { how: 'taken-over', epoch: 1 }])
    ann.child.kill('SIGCONT')
    expect(await ann.ended).toBe(46)
    expect(isRunning(pidIn(file('pid')))).toBe(false)
  })

  test('by heartbeats that do not arrive stops the command before others may have the lock', async () => {
    const { start, state, file, written } = await scene()
    const ann = await start('ann', { script: 'echo $$ > "$FOLDER/pid"; : > "$FOLDER/in"; sleep 60' })
    await written('in')
    // Neither a beat can be made there nor one be seen.
    await fs.rename(file('locks/deploy/heartbeats'), file('locks/deploy/elsewhere'))
    expect(await ann.ended).toBe(46)
    expect(ann.output()).toMatch(/no heartbeat was seen to arrive in 2\.\d s/)
    expect(isRunning(pidIn(file('pid')))).toBe(false)
    expect((await state()).holders).toHaveLength(1)
  })

  test('by a kill goes to the next', async () => {
    const { start, state, file, written } = await scene()
    const ann = await start('ann', { script: 'echo $$ > "$FOLDER/pid"; : > "$FOLDER/in"; exec sleep 60' })
    await written('in')
    onTestFinished(() => {
      if (isRunning(pidIn(file('pid')))) process.kill(pidIn(file('pid')), 'SIGKILL')
    })
    ann.child.kill('SIGKILL')
    const bob = await start('bob', { script: 'echo here' })
    expect(await bob.ended).toBe(0)
    expect(bob.output()).toContain('no heartbeat')
    expect((await state()).ended).toMatchObject([{ how: 'released' }, { how: 'taken-over', epoch: 1 }])
  })
})

const HELD = 75
const PYTHON = `import fcntl, sys
file = open(sys.argv[1], 'w')
try:
    fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    sys.exit(${HELD})`

/** Tries for the lock at once: 0 where it was had, HELD where another has it. */
const FLOCKS = {
  'flock(1)': (path: string) => ['flock', '-n', '-E', String(HELD), path, 'true'],
  "Python's fcntl.flock": (path: string) => ['python3', '-c', PYTHON, path],
} as const

/** Holds the lock, says so by a file, and goes on. */
const HOLDERS = {
  'flock(1)': (path: string, sign: string) => ['flock', path, 'sh', '-c', ': > "$0"; exec sleep 60', sign],
  "Python's fcntl.flock": (path: string, sign: string) => [
    'python3',
    '-c',
    'import fcntl, sys, time; f = open(sys.argv[1], "w"); fcntl.flock(f.fileno(), fcntl.LOCK_EX); open(sys.argv[2], "w"); time.sleep(60)',
    path,
    sign,
  ],
} as const

const exitCodeOf = async ([command, ...args]: readonly string[]) =>
  (await execa(command!, args, { reject: false })).exitCode

describe.for(['flock(1)', "Python's fcntl.flock"] as const)('flock against %s', (program) => {
  test('keeps the program out while the command runs, and lets it in after', async () => {
    const { start, file, written } = await scene()
    // What it leaves running in a session of its own has the descriptor, and keeps nothing.
    const step = await start('ann', {
      flock: 'mutex',
      script:
        'setsid sh -c \'echo $$ > "$FOLDER/pid"; exec sleep 60\' > /dev/null 2>&1 & : > "$FOLDER/in"; sleep 60',
    })
    await written('in')
    await written('pid')
    onTestFinished(() => void process.kill(pidIn(file('pid')), 'SIGKILL'))
    expect(await exitCodeOf(FLOCKS[program](file('mutex')))).toBe(HELD)
    step.child.kill('SIGTERM')
    expect(await step.ended).toBe(143)
    expect(isRunning(pidIn(file('pid')))).toBe(true)
    expect(await exitCodeOf(FLOCKS[program](file('mutex')))).toBe(0)
  })

  test('waits for the program, by policy', async () => {
    const { start, file, written } = await scene()
    const [command, ...args] = HOLDERS[program](file('mutex'), file('held'))
    const other = execa(command!, args, { reject: false, detached: true })
    onTestFinished(() => void other.kill('SIGKILL'))
    await written('held')
    const skipped = await start('ann', { flock: 'mutex', policy: 'skip', script: ': > "$FOLDER/ran"' })
    expect(await skipped.ended).toBe(0)
    expect(await skipped.result('epoch')).toBe('')
    const failed = await start('bob', { flock: 'mutex', policy: 'fail', script: ': > "$FOLDER/ran"' })
    expect(await failed.ended).toBe(40)
    const late = await start('cid', { flock: 'mutex', timeout: '1s', script: ': > "$FOLDER/ran"' })
    expect(await late.ended).toBe(40)
    expect(existsSync(file('ran'))).toBe(false)
    const patient = await start('dan', { flock: file('mutex'), script: ': > "$FOLDER/ran"' })
    await patient.told('waiting for a program that holds')
    process.kill(-other.pid!, 'SIGKILL')
    expect(await patient.ended).toBe(0)
    expect(existsSync(file('ran'))).toBe(true)
  })
})

describe('flock', () => {
  test('stays with the command where with-lock is killed', async () => {
    const { start, file, written } = await scene()
    const step = await start('ann', {
      flock: 'mutex',
      script: 'echo $$ > "$FOLDER/pid"; : > "$FOLDER/in"; exec sleep 60 > /dev/null 2>&1',
    })
    await written('in')
    step.child.kill('SIGKILL')
    await step.ended
    expect(await exitCodeOf(FLOCKS['flock(1)'](file('mutex')))).toBe(HELD)
    process.kill(pidIn(file('pid')), 'SIGKILL')
    await until(
      async () => (await exitCodeOf(FLOCKS['flock(1)'](file('mutex')))) === 0,
      'the flock to be free',
    )
  })

  test('is taken again where the file has lost its name just before', async () => {
    const { shared, file } = await scene()
    let removed = false
    fs.injectFault((operation, path) => {
      if (operation !== 'lstat' || path !== file('mutex') || removed) return
      removed = true
      unlinkSync(path)
    })
    onTestFinished(() => fs.injectFault(undefined))
    const { signal } = new AbortController()
    const flocked = await takeFlock(shared, 'mutex', {
      policy: 'wait',
      left: () => 30_000,
      tell: () => {},
      signal,
    })
    expect(removed).toBe(true)
    expect(await exitCodeOf(FLOCKS['flock(1)'](file('mutex')))).toBe(HELD)
    await flocked!.release()
    expect(await exitCodeOf(FLOCKS['flock(1)'](file('mutex')))).toBe(0)
  })

  test.for([
    ['../outside', 33],
    ['/etc/passwd', 33],
    ['link-out', 33],
    ['folder-out/file', 33],
    ['dangling', 33],
    ['.', 33],
    ['folder', 64],
    ['fifo', 64],
    ['missing/file', 64],
  ] as const)('refuses %s', async ([path, code]) => {
    const { start, file, shared, state } = await scene()
    const outside = await temporaryFolder()
    writeFileSync(join(outside, 'file'), '')
    symlinkSync(join(outside, 'file'), file('link-out'))
    symlinkSync(outside, file('folder-out'))
    symlinkSync(join(outside, 'nothing'), file('dangling'))
    await mkdir(file('folder'))
    await execa('mkfifo', [file('fifo')])
    const step = await start('ann', { flock: path, script: ': > "$FOLDER/ran"' })
    expect(await step.ended).toBe(code)
    expect(existsSync(join(shared, 'ran'))).toBe(false)
    expect(existsSync(join(outside, 'nothing'))).toBe(false)
    expect((await state()).holders).toEqual([])
  })

  test.for(['inside', 'sub/../inside', 'link-in', 'a name with "quotes"'])('takes %s', async (path) => {
    const { start, file } = await scene()
    await mkdir(file('sub'))
    writeFileSync(file('target'), '')
    symlinkSync('target', file('link-in'))
    expect(await (await start('ann', { flock: path, script: 'true' })).ended).toBe(0)
  })
})
