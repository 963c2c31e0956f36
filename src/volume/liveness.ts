/**
 * Whether what owns a run or a lock still lives. A finished run is not a stopped process: an owner is gone only
 * when it is finished or deleted *and* no pod of it is left running. "Cannot tell" is an answer of its own and
 * never means gone.
 */
import type { Owner } from '../identity.ts'

export type Verdict =
  | { state: 'alive'; why: string }
  /** `evidence` is recorded with whatever is done because of it. */
  | { state: 'gone'; evidence: string }
  | { state: 'unknown'; why: string }

/**
 * Answers for one owner. With `exceptPod`, the uid of the asker's own pod, it answers whether anything but that
 * pod is alive or can still start.
 */
export type Liveness = (owner: Owner, exceptPod?: string) => Promise<Verdict>

/** Pods of an owner that were told to stop and have not: a cancelled step may write on for its grace period. */
export type Stopping = (owner: Owner, exceptPod: string) => Promise<{ pods: string[] } | { unknown: string }>
