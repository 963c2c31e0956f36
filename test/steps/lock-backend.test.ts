import { expect, test } from 'vitest'
import { recordAcrossNodes } from '../../src/volume/across-nodes/record.ts'
import { ensureVolume } from '../../src/volume/volume.ts'
import { temporaryFolder } from '../support/folder.ts'
import { runStep } from '../support/step.ts'

const NAME = { name: 'deploy', maxHold: '1h' }

test('a volume on which two nodes took the same name is refused, with the way out', async () => {
  const [shared, resultsIn] = [await temporaryFolder(), await temporaryFolder()]
  const volume = await ensureVolume(shared, () => {})
  const found = {
    v: 1 as const,
    at: '2026-01-02T03:04:05.678Z',
    sides: ['node-a', 'node-b'].map((node) => ({
      node,
      mount: { type: 'fuse', source: 'x', options: 'rw' },
    })),
    races: 200,
    slowestAnswerMs: 40,
    flock: 'does not exclude',
  }
  const acquire = () => runStep('lock-acquire', { params: NAME, workspaces: { shared }, resultsIn })
  await recordAcrossNodes(volume, { ...found, exclusion: 'no', reasons: ['link(2): 3 of 200'] })
  const refused = await acquire()
  expect(refused).toMatchObject({ exitCode: 25, results: {} })
  expect(refused.line('STORAGE_UNSAFE')).toMatchObject({
    found: expect.stringContaining('link(2): 3 of 200'),
    hint: expect.stringContaining('backend: lease'),
  })
  await recordAcrossNodes(volume, { ...found, exclusion: 'yes', reasons: [] })
  expect(await acquire()).toMatchObject({ exitCode: 0, results: { epoch: '1' } })
})

test.each(['lock-acquire', 'lock-release'])(
  '%s takes Leases by its parameter, and only in a cluster',
  async (step) => {
    const [shared, resultsIn] = [await temporaryFolder(), await temporaryFolder()]
    const params = { ...NAME, backend: 'lease' }
    for (const workspaces of [{}, { shared }]) {
      const refused = await runStep(step, { params, workspaces, resultsIn })
      expect(refused.exitCode).toBe(45)
      expect(refused.line('LOCK_BACKEND_UNAVAILABLE')).toMatchObject({
        hint: expect.stringContaining('backend: volume'),
      })
    }
  },
)

test('the namespace says where locks live, and the parameter may say otherwise', async () => {
  const [shared, resultsIn] = [await temporaryFolder(), await temporaryFolder()]
  const acquire = (backend: string) =>
    runStep('lock-acquire', {
      params: { ...NAME, backend },
      workspaces: { shared },
      identity: { CONFIG_LOCK_BACKEND: 'lease' },
      resultsIn,
    })
  expect((await acquire('')).exitCode).toBe(45)
  expect(await acquire('volume')).toMatchObject({ exitCode: 0, results: { epoch: '1' } })
  expect((await acquire('consul')).exitCode).toBe(64)
})

test('a lock on the volume needs the volume', async () => {
  const resultsIn = await temporaryFolder()
  const refused = await runStep('lock-acquire', { params: NAME, workspaces: {}, resultsIn })
  expect(refused.line('USAGE')).toMatchObject({ expected: 'the workspace shared' })
})
