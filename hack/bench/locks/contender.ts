/**
 * A process that takes a lock, holds it and lets it go, again and again, in one way of several. It prints a line of
 * JSON for each turn; times are milliseconds of the machine's monotonic clock, the same for all processes.
 */
import { hrtime } from 'node:process'
import { setTimeout as sleep } from 'node:timers/promises'
import { join } from 'node:path'
import properLockfile from 'proper-lockfile'
import type { Identity, Owner } from '../../../src/identity.ts'
import { acquire, release, volumeLocks } from '../../../src/locks/index.ts'
import { flock } from '../../../src/platform/flock.ts'
import * as fs from '../../../src/platform/fs.ts'
import { openVolume } from '../../../src/volume/volume.ts'

export interface Contender {
  way: 'ours' | 'proper-lockfile' | 'flock in Node'
  /** Of a volume that is initialised, with a file `file` in it. */
  folder: string
  turns: number
  holdMs: number
  /** Counts what is asked of the file system in the time from 3 s to so many milliseconds after asking for the lock. */
  countUntilMs?: number
}

export interface Turn {
  asked: number
  acquired: number
  released: number
  /** What was asked of the file system in the time to count. */
  operations: number
}

const { way, folder, turns, holdMs, countUntilMs } = JSON.parse(process.argv[2]!) as Contender
const now = (): number => Number(hrtime.bigint()) / 1e6
let operations = 0
if (countUntilMs !== undefined) {
  setTimeout(() => fs.injectFault(() => void operations++), 3000)
  setTimeout(() => fs.injectFault(undefined), countUntilMs)
}

const take = await { ours, 'proper-lockfile': properly, 'flock in Node': flockInNode }[way]()
for (let turn = 0; turn < turns; turn++) {
  const asked = now()
  const letGo = await take(turn)
  const line: Turn = { asked, acquired: now(), released: 0, operations }
  if (holdMs > 0) await sleep(holdMs)
  line.released = now()
  await letGo()
  console.log(JSON.stringify(line))
}

type Take = (turn: number) => Promise<() => Promise<unknown>>

async function ours(): Promise<Take> {
  const locks = volumeLocks(await openVolume(folder))
  const common = { emit: () => {}, signal: new AbortController().signal }
  const liveness = () => Promise.resolve({ state: 'alive', why: 'a benchmark' } as const)
  return async (turn) => {
    const identity = identityOf(`${process.pid}-${turn}`)
    const terms = { scope: 'task', policy: 'wait', timeoutMs: 600_000 } as const
    const outcome = await acquire(locks, 'bench', { ...common, ...terms, identity, liveness })
    if (!outcome.acquired) throw new Error('the policy wait never skips')
    return () => release(locks, 'bench', { ...common, identity, epoch: outcome.epoch })
  }
}

function identityOf(name: string): Identity {
  const owner: Owner = { kind: 'TaskRun', namespace: 'bench', name, uid: name }
  return { run: owner, taskRun: owner, task: 'bench', pod: { name, uid: name }, node: 'bench' }
}

async function properly(): Promise<Take> {
  const retries = { retries: 10_000, factor: 1.2, minTimeout: 20, maxTimeout: 1000, randomize: true }
  return () => properLockfile.lock(join(folder, 'file'), { retries, realpath: false })
}

async function flockInNode(): Promise<Take> {
  return async () => {
    const handle = await fs.open(join(folder, 'file'), 'r+')
    while (!(await flock().tryLock(handle.fd, 'exclusive'))) await sleep(15)
    return () => handle.close()
  }
}
