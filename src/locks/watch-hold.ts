/**
 * Tells a holder that it has lost its lock: its hold is not in the state any more, or none of its heartbeats was
 * seen to arrive for so long that others may soon take the lock over. The holder looks as they do, at what there
 * is, and trusts no answer to its own writing.
 */
import { monotonic, sleep } from '../platform/clock.ts'
import type { LockStore } from './backend.ts'
import type { LockState } from './format.ts'

export interface HoldWatch {
  /** Aborted once the hold is lost; the reason is a sentence. */
  readonly lost: AbortSignal
  stop(): Promise<void>
}

export interface WatchTimes {
  /** How often the holder looks. */
  checkMs: number
  /** For how long after a heartbeat the holder may count on its hold: less than the ttl, by what stopping takes. */
  sureForMs: number
}

/** Watches the hold that was just granted to `ticket`. */
export function watchHold(
  lock: LockStore,
  { ticket, epoch }: { ticket: string; epoch: number },
  { checkMs, sureForMs }: WatchTimes,
): HoldWatch {
  const lost = new AbortController()
  const stopping = new AbortController()
  let beat = -1
  // At this time or later the heartbeat that was seen last was written; before the first one, the hold.
  let sureAt = monotonic()
  let lookedAt = sureAt
  let failure = ''

  async function look(): Promise<void> {
    const startedAt = monotonic()
    const seen = (await lock.beats()).get(ticket) ?? -1
    const state = await lock.read()
    const end = endOf(state, ticket, epoch)
    if (end) lost.abort(end)
    if (seen > beat) [beat, sureAt] = [seen, lookedAt]
    lookedAt = startedAt
    failure = ''
  }

  async function repeat(action: () => void | Promise<void>): Promise<void> {
    while (!stopping.signal.aborted && !lost.signal.aborted) {
      await action()
      await sleep(checkMs, stopping.signal).catch(() => undefined)
    }
  }

  const looking = repeat(() =>
    look().catch((error: unknown) => {
      failure = `; the last look failed: ${error instanceof Error ? error.message : String(error)}`
    }),
  )
  // Apart from the looks, as one of them may hang.
  const counting = repeat(() => {
    const unsureMs = monotonic() - sureAt
    if (unsureMs > sureForMs)
      lost.abort(`no heartbeat was seen to arrive in ${(unsureMs / 1000).toFixed(1)} s${failure}`)
  })
  return {
    lost: lost.signal,
    async stop() {
      stopping.abort()
      // A look that hangs is left to itself.
      void looking
      await counting
    },
  }
}

function endOf({ holders, ended }: LockState, ticket: string, epoch: number): string | undefined {
  if (holders.some((hold) => hold.request.ticket === ticket && hold.epoch === epoch)) return undefined
  const end = ended.find((other) => other.ticket === ticket && other.epoch === epoch)
  return end ? `${end.how} by ${end.by.taskRun.name}: ${end.why}` : 'the log does not know the hold any more'
}
