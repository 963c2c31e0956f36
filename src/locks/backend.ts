/** Where locks live: what the protocol needs of it. The shared volume is one, Kubernetes' Leases are another. */
import type { LockEvent, LockState } from './format.ts'

/** What to do on a state: append an event and decide again on what came of it, or be done. */
export type Next<T> = { append: LockEvent } | { done: T }

/** The highest heartbeat of each ticket. */
export type Beats = ReadonlyMap<string, number>

export interface Beating {
  /** Ends it and removes its trace. */
  stop(): Promise<void>
}

/** One lock. */
export interface LockStore {
  readonly name: string
  /** Makes what the lock consists of where it is missing. */
  prepare(): Promise<void>
  /** @throws WorkspaceError LOCK_DAMAGED, FORMAT_UNSUPPORTED. */
  read(): Promise<LockState>
  /**
   * Asks `decide` until it is done, each time with the state as it is. Whether an event took effect is never
   * told by the answer to its writing but by the state read after it: so it is all one whether it was written,
   * lost to another writer, void, or already part of a snapshot.
   */
  change<T>(decide: (state: LockState) => Next<T>): Promise<T>
  beats(): Promise<Beats>
  /** Beats for a ticket at once and then every `everyMs` with jitter, until stopped. */
  startBeating(ticket: string, everyMs: number): Beating
  /** Removes the heartbeats of a ticket that is out of the lock. */
  removeBeats(ticket: string): Promise<void>
}

export interface LockBackend {
  /** @throws WorkspaceError UNSAFE_PATH for a bad name. */
  open(name: string): LockStore
  /** The names of the locks that there are, sorted. */
  names(): Promise<string[]>
}
