/** Trying again after a failure that may pass, for as long as there is hope. */
import { WorkspaceError } from '../errors.ts'
import type { Emit } from '../events.ts'
import { jitter, monotonic, sleep } from '../platform/clock.ts'

/** A failure that may pass: the server is not there, cut the connection, or has too much to do. */
export class Passing extends Error {
  /** When the server wants to be asked again, in ms. */
  readonly retryAfterMs: number

  constructor(why: string, { cause, retryAfterMs = 0 }: { cause?: unknown; retryAfterMs?: number } = {}) {
    super(why, { cause })
    this.retryAfterMs = retryAfterMs
  }
}

export interface Patience {
  /**
   * Waits before another try: ever longer, and never in step with others.
   * @throws the failure itself where it does not pass; WorkspaceError STORE_UNAVAILABLE where nothing got better
   *   for too long
   */
  after(failure: unknown): Promise<void>
  /** Tells that something got through: hope begins anew. */
  progressed(): void
}

export interface PatienceOptions {
  place: string
  /** How long nothing may get better, in ms. */
  patienceMs: number
  /** What should answer, and what to look at where it does not. */
  expected: string
  hint: string
  emit: Emit
  signal: AbortSignal | undefined
}

const FIRST_WAIT_MS = 100
const LONGEST_WAIT_MS = 10_000

export function newPatience(options: PatienceOptions): Patience {
  const { place, patienceMs, emit, signal } = options
  let since = monotonic()
  let tries = 0
  return {
    async after(failure) {
      signal?.throwIfAborted()
      if (!(failure instanceof Passing)) throw failure
      if (monotonic() - since > patienceMs) throw unavailable(options, failure)
      const backoff = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** tries++)
      const waitMs = Math.round(jitter(Math.max(backoff, failure.retryAfterMs)))
      emit({ event: 'store-retry', place, why: failure.message, waitMs })
      await sleep(waitMs, signal)
    },
    progressed() {
      since = monotonic()
      tries = 0
    },
  }
}

function unavailable(
  { place, patienceMs, expected, hint }: PatienceOptions,
  failure: Passing,
): WorkspaceError {
  return new WorkspaceError('STORE_UNAVAILABLE', `${place} does not answer: ${failure.message}`, {
    expected,
    found: `${failure.message}, for ${Math.round(patienceMs / 1000)} s`,
    hint,
    cause: failure.cause,
  })
}
