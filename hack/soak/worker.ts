/**
 * One process of a soak, which stands for the pod of a run. In each of its lanes, again and again, it acquires the
 * lane's lock, counts in a fenced pointer and in a plain file, and releases. It may be killed or stopped anywhere.
 */
import { join } from 'node:path'
import { toWorkspaceError } from '../../src/errors.ts'
import type { Event } from '../../src/events.ts'
import type { Identity } from '../../src/identity.ts'
import {
  acquire,
  describeLock,
  fenceOf,
  release,
  volumeLocks,
  type LockBackend,
} from '../../src/locks/index.ts'
import { TUNING, type Tuning } from '../../src/locks/tuning.ts'
import { sleep } from '../../src/platform/clock.ts'
import * as fs from '../../src/platform/fs.ts'
import { publishFenced, readFenced, type Fence } from '../../src/volume/fence.ts'
import { kubeLiveness } from '../../src/volume/liveness-kube.ts'
import { listEntries } from '../../src/volume/publish.ts'
import { openVolume } from '../../src/volume/volume.ts'
import { now, openHistory, type Answer, type Invocation } from './history.ts'
import { load, save } from './plain.ts'
import { beAlive, identityOf, soakKube } from './pods.ts'
import { countIn, textOf } from './texts.ts'

export interface WorkerOptions {
  id: string
  /** The volume, by the mount that this process is to use. */
  root: string
  /** On this machine's disk. */
  history: string
  pods: string
  /** Processes of one group share locks, so many at a time. */
  group: number
  locks: number
  ttlMs: number
  patienceMs: number
  pollMs: number
}

/** A lane goes on with a new lock after so many counts: folders stay small, and locks begin again and again. */
const COUNTS_PER_LOCK = 100

const {
  id,
  root,
  history,
  group,
  pods,
  locks: lanes,
  ttlMs,
  patienceMs,
  pollMs,
} = JSON.parse(process.argv[2]!) as WorkerOptions
const append = openHistory(history)
const heartbeat = { everyMs: ttlMs / 6, ttlMs }
const volume = await openVolume(root)
const pointers = join(volume.layout.root, 'pointers')
const liveness = kubeLiveness(soakKube(pods))
const stop = new AbortController()

const tuning: Tuning = {
  ...TUNING,
  headPollMs: pollMs,
  waiterPollMs: 3 * pollMs,
  waiterReadMs: 100 * pollMs,
  waiterHeartbeat: heartbeat,
  holderAsk: { firstMs: 2 * pollMs, maxMs: 8 * pollMs },
  waiterAsk: { firstMs: 2 * pollMs, maxMs: 8 * pollMs },
}
/** Half of the lanes compact all the time. */
const tuningOf = (lane: number): Tuning => (lane % 2 === 0 ? tuning : { ...tuning, compactAfter: 3 })

fs.injectFault((operation, path) => {
  const [, lock, seq] = (operation === 'symlink' && /\/([^/]+)\/events\/(\d+)$/.exec(path)) || []
  if (lock) append({ t: now(), link: { lock, seq: Number(seq) } })
  const [, ticket, n] = (operation === 'symlink' && /\/heartbeats\/([0-9a-f-]+)\.(\d+)$/.exec(path)) || []
  if (ticket) append({ t: now(), beat: { ticket, n: Number(n) } })
})
process.on('message', () => stop.abort())
// Without a driver there is nobody to end this.
const orphaned = (): never => process.exit(1)
process.on('disconnect', orphaned)
await beAlive(pods, id)
await Promise.all(Array.from({ length: lanes }, (_, lane) => workIn(group * lanes + lane)))
process.off('disconnect', orphaned).disconnect()

async function workIn(lane: number): Promise<void> {
  const tuning = tuningOf(lane)
  const scene: Scene = { lane, tuning, locks: volumeLocks(volume, tuning) }
  let name = await newestLock(lane)
  for (let round = 0; !stop.signal.aborted; round++) {
    const count = await oneRound(scene, name, round)
    if (count >= COUNTS_PER_LOCK) name = `${lane}.${Number(name.split('.')[1]) + 1}`
  }
}

interface Scene {
  lane: number
  tuning: Tuning
  locks: LockBackend
}

/** @returns how often was counted under this lock */
async function oneRound({ lane, tuning, locks }: Scene, lock: string, round: number): Promise<number> {
  const identity = identityOf(id, `${lane}.${round}`)
  const call = recorder(lane, lock, round)
  if (Math.random() < 0.15) await meddle(call, locks, lock, identity)
  const hold = await call('acquire', {}, async () => {
    const outcome = await acquire(locks, lock, {
      identity,
      scope: 'run',
      policy: 'wait',
      timeoutMs: patienceMs,
      heartbeat,
      liveness,
      emit: tell,
      signal: new AbortController().signal,
      tuning,
    })
    if (!outcome.acquired) throw new Error('the policy wait never skips')
    return { epoch: outcome.epoch, ticket: outcome.ticket }
  })
  // One that is refused would only be refused again.
  if (!hold) return sleep(ttlMs).then(() => 0)
  process.send?.('acquired')
  const { epoch } = hold
  const beating = locks.open(lock).startBeating(hold.ticket, heartbeat.everyMs)
  const count = await countUp(call, lock, fenceOf(locks, { lock, epoch }))
  await call('release', { epoch }, async () => (await release(locks, lock, { identity, epoch, emit }), {}))
  await beating.stop().catch(() => undefined)
  if (Math.random() < 0.3) await call('look', {}, () => look(pointerOf(lock)))
  return count
}

/** Counts in both of what the lock protects. @returns what the pointer said before */
async function countUp(call: Recorder, lock: string, fence: Fence): Promise<number> {
  const [pointer, file] = [pointerOf(lock), join(volume.layout.root, 'files', lock)]
  const { epoch } = fence
  const found = await call('read', { epoch }, async () => {
    return { text: String((await readFenced(pointer, fence)) ?? '') }
  })
  const loaded = await call('load', { epoch }, async () => ({ text: await load(file) }))
  await sleep(Math.random() * 4)
  if (loaded) {
    const text = textOf(countIn(loaded.text) + 1, epoch)
    await call('save', { epoch, text }, async () => (await save(file, text), {}))
  }
  if (!found) return 0
  const text = textOf(countIn(found.text) + 1, epoch)
  await call('write', { epoch, text }, async () => ({ entry: await publishFenced(pointer, fence, text) }))
  return countIn(found.text)
}

/** Releases whatever hold is there, as a process that is wrong about who holds the lock would. */
async function meddle(call: Recorder, locks: LockBackend, lock: string, identity: Identity): Promise<void> {
  const [other] = (await describeLock(locks, lock).catch(() => undefined))?.holders ?? []
  if (!other || other.request.owner.uid === identity.run.uid) return
  const { epoch } = other
  await call('meddle', { epoch }, async () => (await release(locks, lock, { identity, epoch, emit }), {}))
}

/** The newest entry of a pointer, as a reader without any hold finds it. */
async function look(pointer: string): Promise<Answer> {
  const newest = (await listEntries(pointer)).at(-1)
  if (!newest) return { entry: '', text: '' }
  return { entry: newest.name, text: String(await fs.readFile(join(pointer, newest.name))) }
}

/** Writes down what is called, and what comes of it. The promise is of undefined where it failed. */
type Recorder = <T extends Answer>(
  kind: Invocation['kind'],
  more: Pick<Invocation, 'epoch' | 'text'>,
  action: () => Promise<T>,
) => Promise<T | undefined>

function recorder(lane: number, lock: string, round: number): Recorder {
  return async (kind, more, action) => {
    append({ t: now(), lane, kind, lock, round, ...more })
    try {
      const answer = await action()
      append({ t: now(), lane, answer })
      return answer
    } catch (error) {
      const { code, message, found } = toWorkspaceError(error)
      append({ t: now(), lane, error: { code, why: found ? `${message}; found ${found}` : message } })
      return undefined
    }
  }
}

function tell(event: Event): void {
  if (event.event === 'lock-taken-over' || event.event === 'waiter-dropped')
    append({ t: now(), told: event.event, lock: event.lock })
}
function emit(): void {}

async function newestLock(lane: number): Promise<string> {
  const generations = (await fs.list(pointers)).map(({ name }) => name.split('.').map(Number))
  const ours = generations.filter(([of]) => of === lane).map(([, generation]) => generation!)
  return `${lane}.${Math.max(0, ...ours)}`
}

function pointerOf(lock: string): string {
  return join(pointers, lock)
}
