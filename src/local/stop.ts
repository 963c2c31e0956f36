/** Why tasks are stopped before their end: the reason of an abort signal. */
export class Stop extends Error {
  readonly status: 'Cancelled' | 'TimedOut'

  constructor(status: Stop['status'], message: string) {
    super(message)
    this.status = status
  }
}

export interface Deadline {
  signal: AbortSignal
  clear(): void
}

/** The longest that a timer counts; no run takes 24 days. */
const LONGEST_MS = 2 ** 31 - 1

/** A signal that fires after `ms`; 0 and undefined are never. */
export function deadline(ms: number | undefined, message: string): Deadline {
  const controller = new AbortController()
  const stop = (): void => controller.abort(new Stop('TimedOut', message))
  const timer = ms ? setTimeout(stop, Math.min(ms, LONGEST_MS)) : undefined
  return { signal: controller.signal, clear: () => clearTimeout(timer) }
}
