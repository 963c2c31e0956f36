import { mkdir, readdir, readlink, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { execa } from 'execa'
import { afterEach, describe, expect, test } from 'vitest'
import { toWorkspaceError } from '../../src/errors.ts'
import { describeLock, volumeLocks } from '../../src/locks/index.ts'
import { injectFault, type Operation } from '../../src/platform/fs.ts'
import { listEntries } from '../../src/volume/publish.ts'
import { actor, fakeLiveness, folderOf, identityOf, LOCK, newVolume, rewriteEvent, until } from './support.ts'
import type { WorkerOptions } from './worker.ts'

afterEach(() => injectFault(undefined))

async function scene() {
  const volume = await newVolume()
  const liveness = fakeLiveness()
  const person = (run: string, tuning = {}) => actor(volume, liveness, identityOf(run, 'deploy'), tuning)
  const queue = async () =>
    (await describeLock(volumeLocks(volume), LOCK)).queue.map(({ request }) => request.owner.name)
  return { volume, liveness, person, queue }
}

const full = (): Error => Object.assign(new Error('ENOSPC: no space left on device'), { code: 'ENOSPC' })
/** What a full disk refuses; a listing, a read and an unlink still work. */
const WRITES: readonly Operation[] = ['open', 'write', 'sync', 'link', 'symlink', 'mkdir']

describe('a disk that gets full while somebody queues', () => {
  test.for([0, 1, 2, 3, 4, 5])('before the write number %i is said, and leaves no ticket', async (nth) => {
    const { volume, person, queue } = await scene()
    await person('ann').acquire()
    let writes = 0
    let refused = 0
    injectFault((operation, path) => {
      if (!path.includes('/locks/') || !WRITES.includes(operation)) return
      // One write fails; there is room again for what cleans up.
      if (writes++ !== nth) return
      refused++
      throw full()
    })
    const failed = await person('bob')
      .acquire({ timeoutMs: 500 })
      .catch((error: unknown) => toWorkspaceError(error).code)
    injectFault(undefined)
    expect(refused).toBe(1)
    // A heartbeat may fail: it is late, and the wait ends as it would.
    expect(['NO_SPACE', 'LOCK_NOT_ACQUIRED']).toContain(failed)
    expect(await queue()).toEqual([])
    expect(await readdir(folderOf(volume, 'heartbeats'))).toEqual([])
    expect((await readdir(folderOf(volume, 'events'))).filter((name) => name.startsWith('.'))).toEqual([])
  })

  test.for(['wait', 'skip'] as const)('before a grant leaves no hold, with the policy %s', async (policy) => {
    const { volume, person } = await scene()
    await person('ann').acquire()
    await person('ann').release()
    let refused = false
    injectFault((operation, path) => {
      if (refused || operation !== 'symlink' || !path.includes('/events/')) return
      refused = true
      throw full()
    })
    await expect(person('bob').acquire({ policy })).rejects.toMatchObject({ code: 'ENOSPC' })
    expect(refused).toBe(true)
    expect((await describeLock(volumeLocks(volume), LOCK)).holders).toEqual([])
  })

  test('and stays full leaves a ticket at most, which the next one drops', async () => {
    const { person, queue } = await scene()
    const ann = person('ann')
    await ann.acquire()
    const bob = person('bob')
    const waiting = bob.acquire().catch((error: unknown) => toWorkspaceError(error).code)
    await until(async () => (await queue()).length === 1, 'bob')
    injectFault((operation) => {
      if (WRITES.includes(operation)) throw full()
    })
    bob.abort.abort(new Error('stopped'))
    await waiting
    await expect(person('eve').acquire({ timeoutMs: 300 })).rejects.toMatchObject({ code: 'ENOSPC' })
    injectFault(undefined)
    expect(await queue()).toEqual(['bob'])
    // Nothing beats for bob any more, whatever the API says of it.
    const zoe = person('zoe')
    const zoeWaits = zoe.acquire()
    await until(() => zoe.events.some(({ event }) => event === 'waiter-dropped'), 'bob to be dropped')
    await ann.release()
    expect(await zoeWaits).toMatchObject({ acquired: true })
  })
})

describe('a lock whose folder is removed', () => {
  test.for([['the head'], ['those behind it']] as const)('ends the wait of %s', async ([who]) => {
    const { volume, person, queue } = await scene()
    await person('ann').acquire()
    const head = person('bob', who === 'the head' ? {} : { leastPollMs: 60_000, headPollMs: 60_000 })
    const headWaits = head.acquire().catch((error: unknown) => error)
    await until(async () => (await queue()).length === 1, 'bob')
    const behind = person('eve')
    const behindWaits = behind.acquire().catch((error: unknown) => error)
    await until(async () => (await queue()).length === 2, 'eve')
    // At once: a waiter that beats meanwhile would keep rm from emptying it.
    await rename(volume.layout.lock(LOCK), join(volume.layout.root, 'removed'))
    const failure = await (who === 'the head' ? headWaits : behindWaits)
    expect(failure).toMatchObject({ code: 'LOCK_DAMAGED', found: expect.stringContaining('is gone') })
    head.abort.abort(new Error('over'))
    await Promise.all([headWaits, behindWaits])
    // Who comes then finds a free lock.
    expect(await person('zoe').acquire()).toMatchObject({ acquired: true, epoch: 1 })
  })

  test('while an event is written is said as well', async () => {
    const { volume, person } = await scene()
    let removed = false
    injectFault(async (operation, path) => {
      if (removed || operation !== 'symlink' || !path.includes('/events/')) return
      removed = true
      await rm(volume.layout.lock(LOCK), { recursive: true })
    })
    await expect(person('ann').acquire()).rejects.toMatchObject({ code: 'LOCK_DAMAGED' })
    expect(removed).toBe(true)
  })
})

test('an event that is cut short while others wait stops them, and nobody gets the lock', async () => {
  const { volume, person, queue } = await scene()
  await person('ann').acquire()
  const bob = person('bob')
  const waiting = bob.acquire().catch((error: unknown) => error)
  await until(async () => (await queue()).length === 1, 'bob')
  // The next event, as a writer would leave it that does not publish whole files.
  await person('ann').release()
  const events = folderOf(volume, 'events')
  const last = join(events, (await readdir(events)).sort().at(-1)!)
  await rewriteEvent(last, (await readlink(last)).slice(0, 10))
  const outcome = await waiting
  // Bob may have read the release before it was cut.
  if (!('acquired' in (outcome as object))) expect(outcome).toMatchObject({ code: 'LOCK_DAMAGED' })
  await expect(person('eve').acquire({ policy: 'skip' })).rejects.toMatchObject({ code: 'LOCK_DAMAGED' })
})

/** Loaded before a program: its wall clock is off by so many hours, and may jump by as many at each look. */
const shifted = (hours: number, jumps: boolean): string => {
  const shift = `const real = Date.now, by = () => ${hours * 3_600_000} * ${jumps ? '(Math.random() < 0.5 ? 1 : -1)' : '1'}
    Date.now = () => real() + by()
    globalThis.Date = class extends Date { constructor(...a) { super(...(a.length ? a : [Date.now()])) } }`
  return `data:text/javascript,${encodeURIComponent(shift)}`
}

test('clocks that are hours off, and jump either way, change nothing', async () => {
  const volume = await newVolume()
  await mkdir(join(volume.layout.root, 'alive'))
  const start = (id: string, clock: string) => {
    const options: WorkerOptions = {
      root: volume.layout.root,
      id,
      acquisitions: 5,
      compactAfter: 3,
    }
    const worker = join(import.meta.dirname, 'worker.ts')
    return execa('node', ['--import', clock, worker, JSON.stringify(options)], {
      reject: false,
      timeout: 50_000,
    })
  }
  const clocks = [shifted(0, false), shifted(-9, false), shifted(30, false), shifted(7, true)]
  const running = clocks.map((clock, n) => start(`w${n}`, clock))
  await new Promise((resolve) => setTimeout(resolve, 600))
  running[1]!.kill('SIGKILL')
  const results = await Promise.all(running)
  const failed = results.filter(({ exitCode, signal }) => exitCode !== 0 && signal !== 'SIGKILL')
  expect(failed.map(({ shortMessage, stderr }) => `${shortMessage} ${stderr}`)).toEqual([])
  const counted = (await listEntries(join(volume.layout.root, 'counter'))).filter(({ n }) => n === 1)
  expect(counted.length).toBeGreaterThanOrEqual(15)
})
