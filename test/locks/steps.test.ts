import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { execa } from 'execa'
import { expect, test } from 'vitest'
import { describeLock, volumeLocks } from '../../src/locks/index.ts'
import { flock } from '../../src/platform/flock.ts'
import * as fs from '../../src/platform/fs.ts'
import { layoutOf } from '../../src/volume/layout.ts'
import { openVolume } from '../../src/volume/volume.ts'
import { temporaryFolder } from '../support/folder.ts'
import { identityOf, runStep } from '../support/step.ts'
import { until } from './support.ts'

/** The programs as containers run them; runs are local ones, whose liveness a flock tells. */
async function scene() {
  const [shared, resultsIn] = [await temporaryFolder(), await temporaryFolder()]
  const layout = layoutOf(shared)
  await mkdir(join(shared, '.shared-workspace/local-runs'), { recursive: true })
  const begin = async (run: string) => {
    const runner = await fs.create(layout.alive(`uid-of-${run}`))
    await flock().tryLock(runner.fd, 'exclusive')
    return runner
  }
  const step = (name: string, run: string, params: Record<string, string> = {}, task = 'deploy') =>
    runStep(name, {
      params: { name: 'deploy', ...params },
      workspaces: { shared },
      identity: { ...identityOf(run, task), SHARED_WORKSPACE_LOCAL: 'true' },
      resultsIn,
    })
  return { shared, resultsIn, begin, step }
}

test('one task acquires, another of the run releases, and a third finds it skipped', async () => {
  const { begin, step } = await scene()
  const runners = [await begin('ann'), await begin('bob')]
  const acquired = await step('lock-acquire', 'ann')
  expect(acquired).toMatchObject({
    exitCode: 0,
    results: { epoch: '1', holder: 'LocalRun test/ann (task deploy)' },
  })
  expect(Number(acquired.results['waited-ms'])).toBeGreaterThanOrEqual(0)

  const skipped = await step('lock-acquire', 'bob', { policy: 'skip' })
  expect(skipped).toMatchObject({
    exitCode: 0,
    results: { epoch: '', holder: 'LocalRun test/ann (task deploy)' },
  })

  const foreign = await step('lock-release', 'bob', { epoch: '1' })
  expect(foreign.exitCode).toBe(41)

  const released = await step('lock-release', 'ann', { epoch: '1' }, 'final')
  expect(released).toMatchObject({ exitCode: 0, results: { epoch: '1', holder: 'LocalRun test/ann' } })
  for (const runner of runners) await runner.close()
})

test('a lock whose run has ended is taken over', async () => {
  const { begin, step } = await scene()
  const ann = await begin('ann')
  await step('lock-acquire', 'ann')
  await ann.close()
  const bob = await begin('bob')
  const acquired = await step('lock-acquire', 'bob')
  expect(acquired.results['epoch']).toBe('4')
  expect(acquired.line('lock-taken-over')).toMatchObject({
    epoch: 1,
    from: 'LocalRun test/ann (task deploy)',
  })
  await bob.close()
})

test('a step that SIGTERM stops leaves no ticket', async () => {
  const { shared, begin, step } = await scene()
  const runners = [await begin('ann'), await begin('bob')]
  await step('lock-acquire', 'ann')
  const program = join(import.meta.dirname, '../../src/steps/lock-acquire/main.ts')
  const params = {
    PARAM_NAME: 'deploy',
    PARAM_MODE: 'exclusive',
    PARAM_POLICY: 'wait',
    PARAM_TIMEOUT: '1m',
    PARAM_SCOPE: 'run',
    PARAM_PRIORITY: '0',
  }
  const env = {
    ...identityOf('bob', 'deploy'),
    ...params,
    WORKSPACE_SHARED: shared,
    SHARED_WORKSPACE_LOCAL: 'true',
    SHARED_WORKSPACE_LOG: 'json',
  }
  const waiting = execa('node', [program], { env, reject: false })
  let told = ''
  waiting.stdout.on('data', (chunk) => (told += String(chunk)))
  await until(() => told.includes('lock-waiting'), 'bob to wait')
  waiting.kill('SIGTERM')
  expect((await waiting).exitCode).toBe(143)
  expect((await describeLock(volumeLocks(await openVolume(shared)), 'deploy')).queue).toEqual([])
  for (const runner of runners) await runner.close()
})

test('readers share a lock, and a third waits for none of them', async () => {
  const { begin, step } = await scene()
  const runners = await Promise.all(['ann', 'bob', 'eve'].map(begin))
  for (const run of ['ann', 'bob'])
    expect(await step('lock-acquire', run, { mode: 'counting', limit: '2' })).toMatchObject({ exitCode: 0 })
  const full = await step('lock-acquire', 'eve', { mode: 'counting', limit: '2', policy: 'fail' })
  expect(full.line('LOCK_NOT_ACQUIRED')).toMatchObject({ found: expect.stringContaining('counting up to 2') })
  for (const runner of runners) await runner.close()
})

test('a hold that is in the way is printed with its ticket, and ended by force', async () => {
  const { begin, step } = await scene()
  const runners = await Promise.all(['ann', 'bob'].map(begin))
  await step('lock-acquire', 'ann')
  const shown = await step('workspace-status', 'bob', { lock: 'deploy' })
  expect(shown).toMatchObject({ exitCode: 0, results: { phase: '' } })
  const [, ticket = ''] = /epoch 1 {2}LocalRun test\/ann .* ticket (\S+)/.exec(shown.stdout) ?? []
  const asJson = await step('workspace-status', 'bob', { lock: 'deploy', format: 'json' })
  expect(JSON.parse(asJson.stdout)).toMatchObject({
    v: 1,
    lock: 'deploy',
    holders: [{ request: { ticket } }],
  })

  const unreasonable = await step('lock-release', 'bob', { force: ticket })
  expect(unreasonable.exitCode).toBe(64)
  const forced = await step('lock-release', 'bob', { force: ticket, reason: 'it hangs' })
  expect(forced).toMatchObject({
    exitCode: 0,
    results: { epoch: '1', holder: 'LocalRun test/ann (task deploy)' },
  })
  expect(forced.line('lock-forced')).toMatchObject({ ticket, reason: 'it hangs' })
  expect((await step('lock-release', 'ann')).exitCode).toBe(42)
  expect(await step('lock-acquire', 'bob', { policy: 'fail' })).toMatchObject({ exitCode: 0 })
  for (const runner of runners) await runner.close()
})

test('what is stored and archived with a fence ends with its hold', async () => {
  const { shared, begin, step } = await scene()
  const runners = await Promise.all(['ann', 'bob'].map(begin))
  await step('workspace-init', 'ann')
  const { results } = await step('lock-acquire', 'ann')
  await writeFile(join(shared, 'file'), 'one')
  const params = { path: join(shared, 'file'), output: 'out', fence: `deploy@${results['epoch']}` }
  expect(await step('artifact-store', 'ann', params)).toMatchObject({ exitCode: 0 })
  const archived = await step('workspace-archive', 'ann', { fence: params.fence })
  expect(archived).toMatchObject({ exitCode: 0 })
  expect(archived.line('run-closed')).toBeDefined()

  await step('lock-release', 'ann')
  await writeFile(join(shared, 'file'), 'two')
  expect((await step('artifact-store', 'ann', { ...params, overwrite: 'true' })).exitCode).toBe(42)
  await step('workspace-init', 'bob')
  const late = await step('workspace-archive', 'bob', { fence: params.fence })
  expect(late).toMatchObject({ exitCode: 42 })
  expect(late.line('run-closed')).toBeUndefined()
  for (const runner of runners) await runner.close()
})

test('what was stored with a fence takes no content without one', async () => {
  const { shared, begin, step } = await scene()
  const runner = await begin('ann')
  await step('lock-acquire', 'ann')
  await writeFile(join(shared, 'file'), 'one')
  const params = { path: join(shared, 'file'), output: 'out' }
  await step('artifact-store', 'ann', { ...params, fence: 'deploy@1' })
  await writeFile(join(shared, 'file'), 'two')
  const refused = await step('artifact-store', 'ann', { ...params, overwrite: 'true' })
  expect(refused.line('ARTIFACT_EXISTS')).toMatchObject({ hint: expect.stringContaining('fence') })
  await runner.close()
})

test('a release on a folder that is no volume says so', async () => {
  const { step } = await scene()
  expect((await step('lock-release', 'ann')).exitCode).toBe(20)
})

test.for([
  ['timeout', '0s'],
  ['timeout', '-5m'],
  ['timeout', '999d'],
  ['maxHold', '0m'],
  ['maxHold', '-1h'],
  ['maxHold', '10000d'],
  ['priority', 'high'],
  ['priority', '1000'],
  ['mode', 'upgradeable'],
  ['limit', '0'],
  ['limit', '-3'],
  ['limit', '2'],
  ['policy', 'steal'],
  ['scope', 'cluster'],
  ['name', '../up'],
] as const)('%s=%s is refused', async ([param, value]) => {
  const { step } = await scene()
  const refused = await step('lock-acquire', 'ann', { [param]: value })
  expect(refused).toMatchObject({ exitCode: 64 })
  expect(refused.line('USAGE')).toMatchObject({ message: expect.stringContaining(param) })
})
