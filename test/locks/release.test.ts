import { describe, expect, test } from 'vitest'
import { openLog } from '../../src/locks/volume/log.ts'
import { pathsOf } from '../../src/locks/volume/paths.ts'
import { whoIs } from '../../src/locks/say.ts'
import { actor, FAST, fakeLiveness, identityOf, LOCK, newVolume, storedEvents } from './support.ts'

async function scene() {
  const volume = await newVolume()
  const liveness = fakeLiveness()
  const person = (run: string, task = 'deploy') => actor(volume, liveness, identityOf(run, task))
  return { volume, liveness, person }
}

describe('a hold of a run', () => {
  test('is released by another task of it', async () => {
    const { person } = await scene()
    await person('ann', 'deploy').acquire()
    const final = person('ann', 'final')
    expect(await final.release(1)).toEqual({ epoch: 1, holder: 'PipelineRun ci/ann' })
    expect(final.events).toEqual([{ event: 'lock-released', lock: LOCK, epoch: 1 }])
  })

  test('is released without an epoch', async () => {
    const { person } = await scene()
    await person('ann').acquire()
    expect(await person('ann', 'final').release()).toMatchObject({ epoch: 1 })
  })

  test('can be released twice, and that is told once', async () => {
    const { volume, person } = await scene()
    await person('ann').acquire()
    for (const epoch of [1, 1, undefined])
      expect(await person('ann').release(epoch)).toMatchObject({ epoch: 1 })
    await person('bob').acquire()
    const late = person('ann')
    expect(await late.release(1)).toMatchObject({ epoch: 1 })
    expect(late.events).toEqual([])
    expect((await storedEvents(volume)).map((event) => event.kind)).toEqual([
      'granted',
      'released',
      'granted',
    ])
  })

  test('is not released by another run', async () => {
    const { person } = await scene()
    await person('ann').acquire()
    for (const epoch of [1, undefined]) {
      await expect(person('bob').release(epoch)).rejects.toMatchObject({
        code: 'LOCK_NOT_HELD',
        found: expect.stringContaining('ci/ann (task deploy) with epoch 1 since'),
        hint: expect.stringContaining('scope'),
      })
    }
  })
})

describe('a hold of a task', () => {
  test('is released by that task alone', async () => {
    const { person } = await scene()
    await person('ann', 'deploy').acquire({ scope: 'task' })
    await expect(person('ann', 'final').release(1)).rejects.toMatchObject({ code: 'LOCK_NOT_HELD' })
    expect(await person('ann', 'deploy').release(1)).toMatchObject({
      epoch: 1,
      holder: 'TaskRun ci/ann-deploy',
    })
  })
})

describe('a hold that ended otherwise', () => {
  test('is stale once it was taken over', async () => {
    const { liveness, person } = await scene()
    await person('ann').acquire()
    liveness.kill('ann')
    await person('bob').acquire()
    for (const epoch of [1, undefined]) {
      await expect(person('ann').release(epoch)).rejects.toMatchObject({
        code: 'STALE_LOCK',
        found: expect.stringMatching(/taken-over at .* by ci\/bob-deploy: ann was deleted/),
      })
    }
  })

  test('is stale once it was forced', async () => {
    const { volume, person } = await scene()
    const held = await person('ann').acquire()
    if (!held.acquired) throw new Error('held by nobody')
    const by = whoIs(identityOf('admin', 'desk'))
    await openLog(pathsOf(volume, LOCK), FAST).change(({ holders }) =>
      holders[0]
        ? { append: { kind: 'forced', ticket: held.ticket, epoch: 1, reason: 'stuck', by } }
        : { done: undefined },
    )
    await expect(person('ann').release(1)).rejects.toMatchObject({
      code: 'STALE_LOCK',
      found: expect.stringContaining('stuck'),
    })
  })

  test('is stale also when it is so long ago that nobody remembers', async () => {
    const { person } = await scene()
    await person('ann').acquire()
    await person('ann').release()
    for (let n = 0; n < 33; n++) {
      await person('bob').acquire()
      await person('bob').release()
    }
    await expect(person('ann').release(1)).rejects.toMatchObject({ code: 'STALE_LOCK' })
  })

  test('was never held', async () => {
    const { volume, person } = await scene()
    await expect(person('ann').release(1)).rejects.toMatchObject({
      code: 'LOCK_NOT_HELD',
      found: 'nobody holds it',
    })
    await expect(storedEvents(volume)).rejects.toThrow('ENOENT')
    await person('ann').acquire()
    await expect(person('ann').release(99)).rejects.toMatchObject({ code: 'LOCK_NOT_HELD' })
  })
})
