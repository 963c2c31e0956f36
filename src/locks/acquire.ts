/** Acquires a lock: at once, by waiting in its queue, or not at all. */
import { WorkspaceError } from '../errors.ts'
import { beginAcquisition, type AcquireOptions, type Acquisition } from './acquisition.ts'
import type { LockBackend } from './backend.ts'
import { grant, grantOrQueue } from './decide.ts'
import type { Hold, LockState, Request } from './format.ts'
import { orLeave } from './leave.ts'
import { admits } from './modes.ts'
import { createObserver, holderSubject, waiterSubject, type Subject } from './observer.ts'
import { release } from './release.ts'
import { removeSubject } from './remove.ts'
import { notAcquired, title, whoHolds } from './say.ts'
import { waitForTurn } from './wait.ts'
import { worst, type Finding } from './watchers.ts'

/** `holder` names, for people, who holds the lock now. */
export type Outcome =
  | { acquired: true; ticket: string; epoch: number; holder: string; waitedMs: number }
  | { acquired: false; holder: string; waitedMs: number }

/**
 * Acquires the lock `name`. A TaskRun that holds it already gets its hold again, with a new epoch if
 * this is a new attempt; other tasks of the same run are excluded like anybody else.
 * @returns `acquired: false` only with the policy `skip`.
 * @throws WorkspaceError USAGE for terms that make no sense, or other ones than those of the TaskRun's own hold;
 * LOCK_NOT_ACQUIRED by policy or deadline; LIVENESS_UNKNOWN where nothing could ever tell
 * that this hold, or the one in the way, is over; LOCK_DAMAGED; UNSAFE_PATH for a bad name.
 */
export async function acquire(locks: LockBackend, name: string, options: AcquireOptions): Promise<Outcome> {
  const { identity, policy, signal, emit } = options
  const acquisition = beginAcquisition(locks, name, options)
  signal.throwIfAborted()
  await requireLiveness(acquisition)
  await acquisition.lock.prepare()
  const found = policy === 'wait' ? await queueUp(acquisition) : await lookOnce(acquisition)
  const waitedMs = acquisition.waited()
  if (!('epoch' in found)) {
    const holder = whoHolds(found)
    emit({ event: 'lock-skipped', lock: name, holder })
    return { acquired: false, holder, waitedMs }
  }
  const { epoch, request } = found
  if (signal.aborted) {
    // The abort came while the grant was written.
    await release(locks, name, { identity, epoch, emit })
    throw signal.reason
  }
  const holder = title(request)
  emit({ event: 'lock-acquired', lock: name, epoch, holder, waitedMs })
  return { acquired: true, ticket: request.ticket, epoch, holder, waitedMs }
}

/** A hold of which nobody could ever tell that it is over is a leak waiting to happen: refused up front. */
async function requireLiveness({ me, lock: { name }, liveness }: Acquisition): Promise<void> {
  if (me.maxHoldMs !== undefined || me.heartbeat !== undefined) return
  const verdict = await liveness(me.owner)
  if (verdict.state === 'alive') return
  throw new WorkspaceError(
    'LIVENESS_UNKNOWN',
    `nothing would end the hold of lock ${name} if its owner were cancelled`,
    {
      expected: `to be told that ${me.owner.kind} ${me.owner.name} is alive, or an explicit maxHold`,
      found: verdict.state === 'gone' ? verdict.evidence : verdict.why,
      hint: 'give the service account the Role of the maintenance bundle, or set maxHold to the longest time that a hold may last',
    },
  )
}

async function queueUp(acquisition: Acquisition): Promise<Hold> {
  const { lock, me, tuning } = acquisition
  const entry = await lock
    .change((state) => grantOrQueue(state, me, tuning.waiterHeartbeat))
    .catch(orLeave(acquisition))
  return 'epoch' in entry ? entry : waitForTurn(acquisition)
}

/** Without waiting, but not without removing whoever is gone: else a leaked lock would be skipped for ever. */
async function lookOnce(acquisition: Acquisition): Promise<Hold | LockState> {
  const { lock, me, policy, liveness, signal, tuning } = acquisition
  for (;;) {
    signal.throwIfAborted()
    const found = await lock
      .change<Hold | LockState>((state) => {
        const next = grant(state, me)
        return 'append' in next ? next : { done: next.done ?? state }
      })
      .catch(orLeave(acquisition))
    if ('epoch' in found) return found
    const findings: Finding[] = []
    for (const subject of inTheWay(found, me)) {
      const verdict = await createObserver(subject, found.seq, liveness, tuning).ask()
      if (verdict.state === 'gone') await removeSubject(acquisition, subject, verdict.evidence)
      findings.push({ subject, verdict })
    }
    if (findings.some(({ verdict }) => verdict.state === 'gone')) continue
    if (policy === 'skip') return found
    throw notAcquired(acquisition, found, worst(findings))
  }
}

/** The holders, or where the lock would admit `me` beside them, whoever comes first. */
function inTheWay({ holders, queue }: LockState, me: Request): Subject[] {
  const admitted = admits(
    holders.map(({ request }) => request),
    me,
  )
  return admitted ? queue.slice(0, 1).map(waiterSubject) : holders.map(holderSubject)
}
