import { readdir, readFile, readlink, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { compact } from '../../src/locks/volume/compact.ts'
import { formatEvent } from '../../src/locks/format.ts'
import { describeLock, volumeLocks } from '../../src/locks/index.ts'
import { openLog } from '../../src/locks/volume/log.ts'
import { pathsOf } from '../../src/locks/volume/paths.ts'
import { createReader } from '../../src/locks/volume/reader.ts'
import * as fs from '../../src/platform/fs.ts'
import { publishText } from '../../src/volume/short-text.ts'
import {
  actor,
  FAST,
  fakeLiveness,
  folderOf,
  identityOf,
  LOCK,
  newVolume,
  rewriteEvent,
  storedEvents,
} from './support.ts'

async function scene(tuning = {}) {
  const volume = await newVolume()
  const liveness = fakeLiveness()
  const person = (run: string) => actor(volume, liveness, identityOf(run, 'deploy'), tuning)
  const paths = pathsOf(volume, LOCK)
  const event = (seq: number): string => join(paths.events, String(seq).padStart(12, '0'))
  const numbers = async (what: string) => (await readdir(folderOf(volume, what))).map(Number)
  return { volume, person, paths, event, numbers }
}

/** Runs `act` before the first operation of that kind on that path. */
function before(operation: fs.Operation, path: string, act: () => Promise<void>): void {
  let done = false
  onTestFinished(() => fs.injectFault(undefined))
  fs.injectFault(async (now, where) => {
    if (done || now !== operation || where !== path) return
    done = true
    await act()
  })
}

describe('compaction', () => {
  test('leaves a snapshot and what came after it', async () => {
    const { volume, person, numbers } = await scene({ compactAfter: 8 })
    for (let n = 0; n < 10; n++) {
      await person('ann').acquire()
      await person('ann').release()
    }
    expect(await numbers('snapshot')).toEqual([10, 20])
    expect(await numbers('events')).toEqual([])
    expect(await describeLock(volumeLocks(volume), LOCK)).toMatchObject({ seq: 20, holders: [], queue: [] })
    expect(await person('bob').acquire()).toMatchObject({ epoch: 21 })
  })

  test('that was cut short changes nothing and is completed by the next', async () => {
    const { person, event, numbers } = await scene({ compactAfter: 4 })
    before('unlink', event(2), () => Promise.reject(new Error('killed')))
    for (let n = 0; n < 3; n++) {
      await person('ann').acquire()
      await person('ann').release()
    }
    expect(await numbers('snapshot')).toEqual([6])
    expect(await numbers('events')).toContain(2)
    for (let n = 0; n < 3; n++) {
      expect(await person('bob').acquire()).toMatchObject({ epoch: 7 + 2 * n })
      await person('bob').release()
    }
    expect(await numbers('events')).toEqual([])
  })

  test('is left to whoever lets go, unless nobody does', async () => {
    const { person, numbers } = await scene({ compactAfter: 4 })
    const again = async () => (await person('ann').acquire(), await person('ann').release())
    for (let n = 0; n < 2; n++) await again()
    await person('bob').acquire()
    expect(await numbers('snapshot')).toEqual([])
    for (let n = 0; n < 6; n++)
      await person(`p${n}`)
        .acquire({ timeoutMs: 1 })
        .catch(() => undefined)
    expect(await numbers('snapshot')).toEqual([17])
  })

  test('at an old state takes nothing from the new one', async () => {
    const { volume, person, paths } = await scene()
    await person('ann').acquire()
    const old = await createReader(paths, 500).read()
    await person('ann').release()
    await person('bob').acquire()
    await compact(paths, await createReader(paths, 500).read())
    await person('bob').release()
    await compact(paths, old)
    expect(await describeLock(volumeLocks(volume), LOCK)).toMatchObject({
      seq: 4,
      holders: [],
      ended: [{ epoch: 3 }, { epoch: 1 }],
    })
  })
})

test('compaction of an old state leaves what came after it', async () => {
  const { volume, person, paths, numbers } = await scene()
  await person('ann').acquire()
  const old = await createReader(paths, 500).read()
  await person('ann').release()
  await person('bob').acquire()
  await compact(paths, old)
  expect(await numbers('events')).toEqual([2, 3])
  expect(await describeLock(volumeLocks(volume), LOCK)).toMatchObject({ seq: 3, holders: [{ epoch: 3 }] })
})

describe('an event below the newest snapshot is void', () => {
  test('for its writer, who decides again and clears it away', async () => {
    const { volume, person, paths, event } = await scene()
    await person('ann').acquire()
    await person('ann').release()
    // While bob is about to link event 3, eve acquires with event 3, and compaction makes its name free again.
    before('symlink', event(3), async () => {
      await person('eve').acquire()
      await compact(paths, await createReader(paths, 500).read())
    })
    const bob = person('bob')
    expect(await bob.acquire({ policy: 'skip' })).toMatchObject({
      acquired: false,
      holder: expect.stringContaining('ci/eve'),
    })
    expect(await readdir(paths.events)).toEqual([])
    expect((await describeLock(volumeLocks(volume), LOCK)).holders).toMatchObject([
      { epoch: 3, request: { owner: { name: 'eve' } } },
    ])
  })

  test('for a reader that reads it in place of the one that counted', async () => {
    const { person, paths, event } = await scene()
    await person('ann').acquire()
    await person('ann').release()
    const reader = createReader(paths, 500)
    await reader.read()
    await person('eve').acquire()
    before('readlink', event(3), async () => {
      await compact(paths, await createReader(paths, 500).read())
      const [hold] = (await createReader(paths, 500).read()).holders
      const request = { ...hold!.request, owner: identityOf('bob', 'deploy').run }
      await publishText(event(3), formatEvent({ kind: 'granted', request }, 3, ''))
    })
    expect((await reader.read()).holders).toMatchObject([{ epoch: 3, request: { owner: { name: 'eve' } } }])
  })

  test('unless it was part of it: then it is not written twice', async () => {
    const { volume, person, paths } = await scene()
    // As soon as the grant is linked, another compacts it.
    let linked = false
    onTestFinished(() => fs.injectFault(undefined))
    fs.injectFault(async (operation, path) => {
      if (operation !== 'readdir' || path !== paths.events || linked) return
      if (!(await readdir(paths.events)).some((name) => /^\d+$/.test(name))) return
      linked = true
      await compact(paths, await createReader(paths, 500).read())
    })
    expect(await person('ann').acquire()).toMatchObject({ acquired: true, epoch: 1 })
    expect(linked).toBe(true)
    expect(await describeLock(volumeLocks(volume), LOCK)).toMatchObject({ seq: 1, holders: [{ epoch: 1 }] })
  })
})

describe('the symlink of an event', () => {
  test('that lost is decided again', async () => {
    const { volume, person, event } = await scene()
    before('symlink', event(1), async () => void (await person('eve').acquire()))
    expect(await person('bob').acquire({ policy: 'skip' })).toMatchObject({ acquired: false })
    expect((await storedEvents(volume)).map((stored) => stored.kind)).toEqual(['granted'])
  })

  test('is made once although its answer was lost', async () => {
    const { volume, person, event } = await scene()
    // The event is there, and its writer gets an error or EEXIST: what counts is what the log says.
    before('symlink', event(1), async () => {
      fs.injectFault(undefined)
      throw Object.assign(new Error('EEXIST'), { code: 'EEXIST' })
    })
    expect(await person('ann').acquire()).toMatchObject({ acquired: true, epoch: 1 })
    expect(await storedEvents(volume)).toHaveLength(1)
  })
})

test.for([
  ['is too long for a symlink', 'ENAMETOOLONG'],
  ['a volume without symlinks refuses', 'EPERM'],
])('an event that %s is a file, and counts the same', async ([, code]) => {
  const { person, event } = await scene()
  fs.injectFault((operation, path) => {
    if (operation === 'symlink' && path === event(1)) throw Object.assign(new Error(code), { code })
  })
  onTestFinished(() => fs.injectFault(undefined))
  await person('ann').acquire()
  expect((await fs.lstat(event(1))).isFile()).toBe(true)
  expect(await person('bob').acquire({ policy: 'skip' })).toMatchObject({ acquired: false })
  await person('ann').release()
  expect(await person('bob').acquire()).toMatchObject({ epoch: 3 })
  expect((await fs.lstat(event(3))).isSymbolicLink()).toBe(true)
})

describe('a log that does not fit together stops everybody', () => {
  const damages: [string, (text: string) => string, string][] = [
    ['cut short', (text) => text.slice(0, text.length / 2), 'LOCK_DAMAGED'],
    ['empty', () => '', 'LOCK_DAMAGED'],
    ['of another place', (text) => text.replace('"seq":1', '"seq":7'), 'LOCK_DAMAGED'],
    ['without a ticket', (text) => text.replace('"ticket"', '"token"'), 'LOCK_DAMAGED'],
    [
      'impossible',
      (text) =>
        text
          .replace('"granted"', '"withdrawn"')
          .replace('"request":{', '"why":"","request":{')
          .replace('"v":1', '"v":1,"ticket":"00000000-0000-4000-8000-000000000000"'),
      'LOCK_DAMAGED',
    ],
    ['of a newer version', (text) => text.replace('"v":1', '"v":2'), 'FORMAT_UNSUPPORTED'],
    ['of an unknown kind', (text) => text.replace('"granted"', '"lent"'), 'FORMAT_UNSUPPORTED'],
    ['of an unknown mode', (text) => text.replace('"exclusive"', '"upgradeable"'), 'FORMAT_UNSUPPORTED'],
  ]

  test.for(damages)('with an event that is %s', async ([, damage, code]) => {
    const { person, event } = await scene()
    await person('ann').acquire()
    const text = await readlink(event(1))
    expect(damage(text)).not.toBe(text)
    await rewriteEvent(event(1), damage(text))
    await expect(person('bob').acquire({ policy: 'skip' })).rejects.toMatchObject({ code })
    await expect(person('ann').release(1)).rejects.toMatchObject({ code })
  })

  test('with an event that is missing', async () => {
    const { person, event } = await scene()
    await person('ann').acquire()
    await person('ann').release()
    await rm(event(1))
    await expect(person('bob').acquire()).rejects.toMatchObject({
      code: 'LOCK_DAMAGED',
      found: 'event 1 is missing',
    })
  })

  test('with a snapshot that is damaged', async () => {
    const { person, paths } = await scene()
    await person('ann').acquire()
    await compact(paths, await createReader(paths, 500).read())
    await writeFile(join(paths.snapshots, '000000000001'), '{"v":1,"seq":1,"holders":[]}')
    await expect(person('bob').acquire()).rejects.toMatchObject({ code: 'LOCK_DAMAGED' })
  })

  test('but what a newer version adds to an event is carried along', async () => {
    const { person, event, paths } = await scene()
    await person('ann').acquire()
    const text = await readlink(event(1))
    await rewriteEvent(event(1), text.replace('"priority":0', '"priority":0,"colour":"red"'))
    await compact(paths, await createReader(paths, 500).read())
    expect(await readFile(join(paths.snapshots, '000000000001'), 'utf8')).toContain('"colour": "red"')
  })
})

test('a change that never ends is a defect, not a loop', async () => {
  const { volume, person } = await scene()
  await person('ann').acquire()
  const request = (await describeLock(volumeLocks(volume), LOCK)).holders[0]!.request
  const log = openLog(pathsOf(volume, LOCK), FAST)
  const watched = { ms: 0, beat: -1, unchangedMs: 0 }
  const endless = log.change(() => ({
    append: { kind: 'watched', ticket: request.ticket, from: 1, watched, by: request.by },
  }))
  await expect(endless).rejects.toMatchObject({ code: 'INTERNAL' })
})
