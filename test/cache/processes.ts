/** Starts workers and gives them orders. */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import type { Answer, Order } from './worker.ts'

export interface Worker {
  /** The answer, or 'killed' where the process ended instead. */
  tell(order: Order): Promise<Answer | 'killed'>
}

export function startWorker(): Worker {
  const child = fork(join(import.meta.dirname, 'worker.ts'), { execArgv: [] })
  onTestFinished(() => void child.kill())
  return {
    async tell(order) {
      const settled = new AbortController()
      const { signal } = settled
      const answer = once(child, 'message', { signal }).then(([message]) => message as Answer)
      const end = once(child, 'exit', { signal }).then(([code]) => {
        if (code === null) return 'killed' as const
        throw new Error(`the worker ended with ${String(code)}`)
      })
      child.send(order)
      try {
        return await Promise.race([answer, end])
      } finally {
        settled.abort()
        await Promise.allSettled([answer, end])
      }
    },
  }
}
