/**
 * A process that acquires, counts and releases, again and again; its parent may kill it at any moment. It ends
 * with 3 where somebody alive was inside at the same time.
 */
import { readFile } from 'node:fs/promises'
import { readlinkSync, symlinkSync, unlinkSync } from 'node:fs'
import { join } from 'node:path'
import { errno } from '../../src/errors.ts'
import { acquire, leaseLocks, release, volumeLocks } from '../../src/locks/index.ts'
import { sleep } from '../../src/platform/clock.ts'
import { flock } from '../../src/platform/flock.ts'
import * as fs from '../../src/platform/fs.ts'
import { leasesIn } from '../../src/platform/kube-leases.ts'
import { listEntries, publishEntry, publishFile } from '../../src/volume/publish.ts'
import { openVolume } from '../../src/volume/volume.ts'
import { FAST, identityOf } from './support.ts'
import { flockLiveness } from './flock-liveness.ts'

export interface WorkerOptions {
  root: string
  id: string
  acquisitions: number
  compactAfter: number
  /** How long to wait for the lock: 60 s where it is not said. */
  timeoutMs?: number
  /** Where the lock is a Lease; otherwise it is on the volume. */
  lease?: { namespace: string; kubeconfig: string }
}

const options = JSON.parse(process.argv[2]!) as WorkerOptions
const { root, id, acquisitions, compactAfter, timeoutMs = 60_000, lease } = options
const volume = await openVolume(root)
const tuning = { ...FAST, compactAfter }
const locks = lease ? leaseLocks(leasesIn(lease.namespace, lease)) : volumeLocks(volume, tuning)
const liveness = flockLiveness(root)
const counter = join(root, 'counter')
const inside = join(root, 'inside')

// Held for as long as this process lives.
const alive = await fs.create(join(root, 'alive', id))
await flock().tryLock(alive.fd, 'exclusive')

for (let n = 0; n < acquisitions; n++) {
  const identity = identityOf(id, String(n))
  const common = { identity, emit: () => {} }
  const outcome = await acquire(locks, 'counter', {
    ...common,
    tuning,
    scope: 'run',
    policy: 'wait',
    timeoutMs,
    liveness,
    signal: new AbortController().signal,
  })
  if (!outcome.acquired) throw new Error('the policy wait never skips')
  await enter()
  await count(outcome.epoch)
  unlinkSync(inside)
  await release(locks, 'counter', { ...common, epoch: outcome.epoch })
}
await alive.close()

/** Who is inside is one symlink, made exclusively. */
async function enter(): Promise<void> {
  try {
    symlinkSync(id, inside)
  } catch (error) {
    if (errno(error) !== 'EEXIST') throw error
    const other = readlinkSync(inside)
    if ((await liveness(identityOf(other, '').run)).state === 'alive') {
      console.error(`${id} came in while ${other} was inside`)
      process.exit(3)
    }
    unlinkSync(inside)
    symlinkSync(id, inside)
  }
}

/** Reads, waits and writes: two at once would lose a count. The epoch's first entry fences earlier epochs off. */
async function count(epoch: number): Promise<void> {
  const last = (await listEntries(counter)).at(-1)
  const value = last ? Number(await readFile(join(counter, last.name), 'utf8')) : 0
  await publishEntry(counter, epoch, (_, path) => publishFile(path, String(value)))
  await sleep(Math.random() * 10)
  await publishEntry(counter, epoch, (_, path) => publishFile(path, String(value + 1)))
}
