import { mkdir, readdir, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { execa } from 'execa'
import { expect, onTestFinished, test } from 'vitest'
import { formatEvent, type LockEvent, type Request } from '../../src/locks/format.ts'
import { acquire, describeLock, release, volumeLocks } from '../../src/locks/index.ts'
import { whoIs } from '../../src/locks/say.ts'
import { pathsOf, prepare } from '../../src/locks/volume/paths.ts'
import { listEntries } from '../../src/volume/publish.ts'
import type { QueueOptions } from '../locks/queue-worker.ts'
import { actor, fakeLiveness, identityOf, LOCK, newVolume, until } from '../locks/support.ts'
import type { WorkerOptions } from '../locks/worker.ts'

const LOCKS_FOLDER = join(import.meta.dirname, '../locks')

test(
  '1,000 queue entries of 20 processes: in order, and gone when they give up',
  { timeout: 600_000 },
  async () => {
    const volume = await newVolume()
    const holder = actor(volume, fakeLiveness(), identityOf('holder', 'deploy'))
    await holder.acquire()
    const output = Array.from({ length: 20 }, () => '')
    const processes = output.map((_, n) => {
      const options: QueueOptions = { root: volume.layout.root, id: `p${n}`, waiters: 50 }
      const worker = execa('node', [join(LOCKS_FOLDER, 'queue-worker.ts'), JSON.stringify(options)], {
        reject: false,
      })
      worker.stdout.on('data', (chunk) => (output[n] += String(chunk)))
      return worker
    })
    onTestFinished(() => processes.forEach((worker) => void worker.kill('SIGKILL')))
    const soFar = (): string => output.join('')
    const deadline = performance.now() + 400_000
    while (soFar().split('queued').length <= 20 && performance.now() < deadline)
      await new Promise((resolve) => setTimeout(resolve, 200))
    const { queue } = await describeLock(volumeLocks(volume), LOCK)
    expect(queue).toHaveLength(1_000)
    expect(queue.map(({ seq }) => seq)).toEqual(queue.map(({ seq }) => seq).toSorted((a, b) => a - b))

    await holder.release()
    await until(() => soFar().includes('acquired'), 'the first of them to have it')
    expect(soFar()).toContain(`acquired ${queue[0]!.request.owner.name}\n`)
    for (const worker of processes) {
      worker.kill('SIGTERM')
      expect(await worker).toMatchObject({ exitCode: 0 })
    }
    expect((await describeLock(volumeLocks(volume), LOCK)).queue).toEqual([])
    expect(await readdir(pathsOf(volume, LOCK).heartbeats)).toEqual([])
  },
)

test('1,000 locks are acquired and released side by side, and listed', async () => {
  const volume = await newVolume()
  const locks = volumeLocks(volume)
  const names = Array.from({ length: 1_000 }, (_, n) => `lock-${String(n).padStart(4, '0')}`)
  const identity = identityOf('ann', 'deploy')
  const common = { identity, emit: () => {} }
  const use = async (name: string): Promise<void> => {
    const held = await acquire(locks, name, {
      ...common,
      scope: 'run',
      policy: 'fail',
      timeoutMs: 1_000,
      liveness: fakeLiveness(),
      signal: new AbortController().signal,
    })
    expect(held).toMatchObject({ epoch: 1 })
    await release(locks, name, { ...common, epoch: undefined })
  }
  for (let n = 0; n < names.length; n += 20) await Promise.all(names.slice(n, n + 20).map(use))
  expect(await locks.names()).toEqual(names)
})

test(
  'a log of 100,000 events is compacted while processes work under the lock',
  { timeout: 600_000 },
  async () => {
    const EVENTS = 100_000
    const volume = await newVolume()
    await mkdir(join(volume.layout.root, 'alive'))
    const paths = pathsOf(volume, 'counter')
    await prepare(paths)
    const identity = identityOf('ann', 'deploy')
    const by = whoIs(identity)
    const event = (seq: number): LockEvent => {
      const ticket = `00000000-0000-4000-8000-${String(Math.ceil(seq / 2)).padStart(12, '0')}`
      const request: Request = { ticket, owner: identity.run, by, mode: 'exclusive', priority: 0 }
      return seq % 2 === 1 ? { kind: 'granted', request } : { kind: 'released', ticket, epoch: seq - 1, by }
    }
    for (let from = 1; from <= EVENTS; from += 500) {
      const seqs = Array.from({ length: 500 }, (_, n) => from + n)
      await Promise.all(
        seqs.map((seq) =>
          symlink(formatEvent(event(seq), seq, 't'), join(paths.events, String(seq).padStart(12, '0'))),
        ),
      )
    }
    const startedAt = performance.now()
    const results = await Promise.all(
      Array.from({ length: 3 }, (_, n) => {
        const options: WorkerOptions = {
          root: volume.layout.root,
          id: `w${n}`,
          acquisitions: 10,
          compactAfter: 64,
          timeoutMs: 280_000,
        }
        return execa('node', [join(LOCKS_FOLDER, 'worker.ts'), JSON.stringify(options)], {
          reject: false,
          timeout: 290_000,
        })
      }),
    )
    console.log(`compacted and counted within ${((performance.now() - startedAt) / 1000).toFixed(1)} s`)
    expect(results.map(({ exitCode, stderr }) => exitCode === 0 || stderr)).toEqual([true, true, true])
    const counted = (await listEntries(join(volume.layout.root, 'counter'))).filter(({ n }) => n === 1)
    expect(counted).toHaveLength(30)
    expect(counted[0]!.epoch).toBeGreaterThan(EVENTS)
    expect((await readdir(paths.events)).length).toBeLessThan(1_000)
  },
)
