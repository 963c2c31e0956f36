import { setTimeout as sleep } from 'node:timers/promises'
import { Problem, type ProblemDetails } from './problem.ts'

export interface WaitOptions extends ProblemDetails {
  /** What is waited for, as in "no sign of <what>". */
  what: string
  timeoutMs: number
  everyMs?: number
}

/** Asks again until `check` says true. An error of `check` counts as "not yet" and is the cause at the end. */
export async function waitFor(check: () => Promise<boolean>, options: WaitOptions): Promise<void> {
  const deadline = Date.now() + options.timeoutMs
  let cause: unknown
  for (;;) {
    try {
      if (await check()) return
    } catch (error) {
      if (error instanceof Problem) throw error
      cause = error
    }
    if (Date.now() > deadline) break
    await sleep(options.everyMs ?? 200)
  }
  const { what, timeoutMs, everyMs: _, ...details } = options
  const found = cause instanceof Error ? cause.message.split('\n').slice(0, 4).join(' | ') : undefined
  throw new Problem(`no sign of ${what} within ${timeoutMs / 1000}s`, {
    ...(found && { found }),
    ...details,
    cause,
  })
}
