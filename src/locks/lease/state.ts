/** A lock in a Lease: its whole state is one annotation; the rest of the Lease is for people and tools. Pure. */
import { WorkspaceError } from '../../errors.ts'
import type { Lease } from '../../platform/kube-leases.ts'
import { EMPTY } from '../fold.ts'
import { damaged, formatState, parseState, type LockState } from '../format.ts'
import { title } from '../say.ts'
import { leaseName } from './names.ts'

const LOCK = 'shared-workspace/lock'
const STATE = 'shared-workspace/state'
export const LABELS = {
  'app.kubernetes.io/part-of': 'tekton-shared-workspace',
  'app.kubernetes.io/component': 'lock',
}

/** Kubernetes takes 256 KiB of annotations. The queue stops short of it, so that whatever ends a hold fits in. */
const QUEUE_BYTES = 192 * 1024
const STATE_BYTES = 240 * 1024

/** The state in a Lease; a lock without one is free. @throws WorkspaceError LOCK_DAMAGED, FORMAT_UNSUPPORTED. */
export function stateIn(lease: Lease | undefined, lock: string): LockState {
  if (!lease) return EMPTY
  const path = `the Lease ${lease.metadata.name}`
  const { [LOCK]: name, [STATE]: text } = lease.metadata.annotations ?? {}
  if (name !== lock || text === undefined) throw damaged(path, `no state of the lock ${lock}`)
  return parseState(text, path)
}

/** The lock that a Lease keeps, if any. */
export const lockIn = ({ metadata }: Lease): string | undefined => metadata.annotations?.[LOCK]

/**
 * The Lease with the state in it, as changed at `at`. What others have written into the Lease stays. So does its uid:
 * without that, an update that comes after somebody removed the Lease would make it anew.
 */
export function withState(lease: Lease | undefined, lock: string, state: LockState, at: string): Lease {
  const { name, annotations, labels, ...rest } = lease?.metadata ?? { name: leaseName(lock) }
  const { holders, ended } = state
  return {
    metadata: {
      ...rest,
      name,
      labels: { ...labels, ...LABELS },
      annotations: { ...annotations, [LOCK]: lock, [STATE]: fitting(state) },
    },
    spec: {
      ...(holders[0] && {
        holderIdentity: holders.map(({ request }) => title(request)).join(', '),
        acquireTime: micro(holders[0].at),
      }),
      // The newest epoch.
      leaseTransitions: Math.max(0, ...[...holders, ...ended].map(({ epoch }) => epoch)),
      renewTime: micro(at),
    },
  }
}

/** @throws WorkspaceError LOCK_NOT_ACQUIRED where the Lease cannot carry another waiter. */
export function requireRoom(lock: string, state: LockState): void {
  const bytes = Buffer.byteLength(formatState(state))
  if (bytes <= QUEUE_BYTES) return
  throw new WorkspaceError('LOCK_NOT_ACQUIRED', `the queue of lock ${lock} is full`, {
    expected: `at most ${QUEUE_BYTES} bytes of state, which is about 200 waiters: Kubernetes limits the annotations of a Lease`,
    found: `${state.queue.length} waiters in ${bytes} bytes`,
    hint: 'let fewer wait at once, or keep this lock on the volume (backend: volume), where the queue has no limit',
  })
}

/** The state's text; where it would be too long, with less of the history. */
function fitting(state: LockState): string {
  const text = formatState(state)
  if (Buffer.byteLength(text) <= STATE_BYTES || state.ended.length === 0) return text
  return fitting({ ...state, ended: state.ended.slice(0, -1) })
}

/** A time as the API wants it, in microseconds. */
const micro = (at: string): string => at.replace(/\.(\d{3})Z$/, '.$1000Z')
