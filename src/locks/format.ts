/**
 * What a lock is on the volume, version 1. Later kinds of events, modes and fields extend it: a reader refuses a
 * kind or a mode that it does not know, and carries along fields that it does not know.
 */
import * as z from '../zod.ts'
import { WorkspaceError } from '../errors.ts'
import type { Owner } from '../identity.ts'

export const LOCK_FORMAT = 1

/**
 * How holds go together: an exclusive one with no other, shared ones with each other, counting ones with each
 * other up to the limit that they all name.
 */
export const MODES = ['exclusive', 'shared', 'counting'] as const
export type Mode = (typeof MODES)[number]

/** The process that did something: a TaskRun's attempt. */
export interface Who {
  taskRun: Owner
  /** The pipeline task. */
  task: string
  pod: { name: string; uid: string }
  node: string
}

/** A promise to change a file on the volume every `everyMs`; unchanged for `ttlMs`, it is broken. */
export interface Heartbeat {
  everyMs: number
  ttlMs: number
}

/** Who wants, or has, the lock, and on which terms. */
export interface Request {
  /** A uuid, new for each acquisition. */
  ticket: string
  /** Whose end ends the hold. */
  owner: Owner
  by: Who
  mode: Mode
  /** How many may hold it at once: of a counting request only. */
  limit?: number
  /** Higher goes first; equal ones in the order in which they came. */
  priority: number
  /** Watched for longer than this, the hold is taken over even if its owner lives. */
  maxHoldMs?: number
  /** What the holder promises while it holds. */
  heartbeat?: Heartbeat
}

/** For how long observers have watched a ticket, summed over those who wrote it down. */
export interface Watched {
  ms: number
  /** The heartbeat seen last (-1 for none), and the time watched since it was first seen. */
  beat: number
  unchangedMs: number
  /** The event that recorded this: what a later record adds was watched after it. */
  until: number
}

export interface Waiter {
  request: Request
  /** What the waiter promises while it waits. */
  heartbeat: Heartbeat
  /** The event that queued it, and when: wall-clock time, for people. */
  seq: number
  at: string
  watched?: Watched
}

export interface Hold {
  request: Request
  /** The number of the event that granted it: strictly growing. */
  epoch: number
  /** Since when: wall-clock time, for people. */
  at: string
  watched?: Watched
}

/** A hold that is over. Only the last ones are remembered, for those who come to release them. */
export interface Ended {
  ticket: string
  epoch: number
  owner: Owner
  /** Since when it was held; a version before this one did not record it. */
  since?: string
  how: 'released' | 'taken-over' | 'forced' | 'retried'
  /** Who ended it, with which evidence or reason. */
  by: Who
  why: string
  at: string
}

export interface LockState {
  /** The last event that is in it. */
  seq: number
  holders: readonly Hold[]
  /** Who comes next is first. */
  queue: readonly Waiter[]
  /** Newest first. */
  ended: readonly Ended[]
}

export type LockEvent =
  | { kind: 'queued'; request: Request; heartbeat: Heartbeat }
  /** `replaces`: the hold of an earlier attempt of the same TaskRun, which ends with it. */
  | { kind: 'granted'; request: Request; replaces?: string }
  | { kind: 'released'; ticket: string; epoch: number; by: Who }
  | { kind: 'withdrawn'; ticket: string; why: string }
  | { kind: 'taken-over'; ticket: string; epoch: number; evidence: string; by: Who }
  | { kind: 'dropped'; ticket: string; evidence: string; by: Who }
  | { kind: 'forced'; ticket: string; epoch: number; reason: string; by: Who }
  /** `from`: the event up to which the observer knew the log when it began to watch. */
  | { kind: 'watched'; ticket: string; from: number; watched: Omit<Watched, 'until'>; by: Who }

export type StoredEvent = LockEvent & { v: 1; seq: number; at: string }

const seq = z.int().check(z.positive())
const ms = z.number().check(z.nonnegative())
const Owner = z.looseObject({
  kind: z.enum(['PipelineRun', 'TaskRun', 'Pod', 'LocalRun']),
  namespace: z.string(),
  name: z.string(),
  uid: z.string().check(z.minLength(1)),
})
const Who = z.looseObject({
  taskRun: Owner,
  task: z.string(),
  pod: z.looseObject({ name: z.string(), uid: z.string() }),
  node: z.string(),
})
const Heartbeat = z.looseObject({ everyMs: ms, ttlMs: ms })
const ticket = z.uuid()
const Request = z
  .looseObject({
    ticket,
    owner: Owner,
    by: Who,
    mode: z.enum(MODES),
    limit: z.exactOptional(z.int().check(z.positive())),
    priority: z.int(),
    maxHoldMs: z.exactOptional(ms),
    heartbeat: z.exactOptional(Heartbeat),
  })
  .check(
    z.refine(({ mode, limit }) => (mode === 'counting') === (limit !== undefined), {
      path: ['limit'],
      error: 'a limit belongs to the mode counting, and to no other',
    }),
  )
const watched = { ms, beat: z.int().check(z.gte(-1)), unchangedMs: ms }
const Watched = z.exactOptional(z.looseObject({ ...watched, until: seq }))

const KINDS = {
  queued: z.looseObject({ kind: z.literal('queued'), request: Request, heartbeat: Heartbeat }),
  granted: z.looseObject({ kind: z.literal('granted'), request: Request, replaces: z.exactOptional(ticket) }),
  released: z.looseObject({ kind: z.literal('released'), ticket, epoch: seq, by: Who }),
  withdrawn: z.looseObject({ kind: z.literal('withdrawn'), ticket, why: z.string() }),
  'taken-over': z.looseObject({
    kind: z.literal('taken-over'),
    ticket,
    epoch: seq,
    evidence: z.string(),
    by: Who,
  }),
  dropped: z.looseObject({ kind: z.literal('dropped'), ticket, evidence: z.string(), by: Who }),
  forced: z.looseObject({ kind: z.literal('forced'), ticket, epoch: seq, reason: z.string(), by: Who }),
  watched: z.looseObject({
    kind: z.literal('watched'),
    ticket,
    from: z.int(),
    watched: z.looseObject(watched),
    by: Who,
  }),
} satisfies Record<LockEvent['kind'], z.ZodMiniType<LockEvent>>

const Snapshot: z.ZodMiniType<LockState> = z.looseObject({
  seq: z.int().check(z.nonnegative()),
  holders: z.array(z.looseObject({ request: Request, epoch: seq, at: z.string(), watched: Watched })),
  queue: z.array(
    z.looseObject({ request: Request, heartbeat: Heartbeat, seq, at: z.string(), watched: Watched }),
  ),
  ended: z.array(
    z.looseObject({
      ticket,
      epoch: seq,
      owner: Owner,
      since: z.exactOptional(z.string()),
      how: z.enum(['released', 'taken-over', 'forced', 'retried']),
      by: Who,
      why: z.string(),
      at: z.string(),
    }),
  ),
})

/** The event in a file's text. `path` is for messages. @throws WorkspaceError LOCK_DAMAGED, FORMAT_UNSUPPORTED. */
export function parseEvent(text: string, expectedSeq: number, path: string): StoredEvent {
  const value = parseVersion(text, path)
  const schema = KINDS[value['kind'] as LockEvent['kind']] as z.ZodMiniType<LockEvent> | undefined
  if (!schema && typeof value['kind'] === 'string') throw newer(path, `an event of kind ${value['kind']}`)
  if (!schema) throw damaged(path, 'an event without a kind')
  const file = z.intersection(
    z.looseObject({ v: z.literal(1), seq: z.literal(expectedSeq), at: z.string() }),
    schema,
  )
  return checked(file, value, path)
}

/** The state in a snapshot's text. @throws WorkspaceError LOCK_DAMAGED, FORMAT_UNSUPPORTED. */
export function parseSnapshot(text: string, expectedSeq: number, path: string): LockState {
  const file = z.intersection(z.looseObject({ v: z.literal(1), seq: z.literal(expectedSeq) }), Snapshot)
  return checked(file, parseVersion(text, path), path)
}

/** The state in a text that is all that there is of the lock. @throws WorkspaceError LOCK_DAMAGED, FORMAT_UNSUPPORTED. */
export function parseState(text: string, path: string): LockState {
  const file = z.intersection(z.looseObject({ v: z.literal(1) }), Snapshot)
  return checked(file, parseVersion(text, path), path)
}

export const formatEvent = (event: LockEvent, seq: number, at: string): string =>
  JSON.stringify({ v: LOCK_FORMAT, seq, at, ...event })

export const formatSnapshot = (state: LockState): string =>
  JSON.stringify({ ...state, v: LOCK_FORMAT }, null, 2)

export const formatState = (state: LockState): string => JSON.stringify({ ...state, v: LOCK_FORMAT })

function parseVersion(text: string, path: string): Record<string, unknown> {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    throw damaged(path, `${text.length} characters that are not JSON`, cause)
  }
  if (typeof value !== 'object' || value === null || !('v' in value)) throw damaged(path, 'no version')
  if (value.v !== LOCK_FORMAT) throw newer(path, `version ${String(value.v)}`)
  return { ...value }
}

function checked<T>(schema: z.ZodMiniType<T>, value: unknown, path: string): T {
  const result = schema.safeParse(value)
  if (result.success) return result.data
  const modes = result.error.issues.filter((issue) => issue.path.at(-1) === 'mode')
  if (modes.length > 0) throw newer(path, 'a mode of locking that is not known here')
  const issues = result.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`)
  throw damaged(path, issues.join('; '), result.error)
}

/** Nobody gets a lock whose log cannot be read: a wrong grant costs more than a clear stop. */
export function damaged(path: string, found: string, cause?: unknown): WorkspaceError {
  return new WorkspaceError('LOCK_DAMAGED', `the log of a lock is damaged at ${path}`, {
    expected: 'what the steps of this product wrote there, unchanged',
    found,
    hint: `keep a copy for a report; once nothing uses the lock, remove its folder or Lease, and its epochs begin anew`,
    cause,
  })
}

const newer = (path: string, found: string): WorkspaceError =>
  new WorkspaceError('FORMAT_UNSUPPORTED', `a newer version of the Tasks wrote ${path}`, {
    expected: `version ${LOCK_FORMAT} of the lock format, with the events and modes that it had`,
    found,
    hint: 'use the newer version of the Tasks for everything that shares this lock',
  })
