/** Starts workers and gives them orders. */
import { fork, type ChildProcess } from 'node:child_process'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import type { Answer, Order } from './worker.ts'

export interface Worker {
  /** The answer, or 'killed' where the process ended instead. */
  tell(order: Order): Promise<Answer | 'killed'>
}

export function startWorker(): Worker {
  const child: ChildProcess = fork(join(import.meta.dirname, 'worker.ts'), { execArgv: [] })
  onTestFinished(() => void child.kill())
  return {
    tell: (order) =>
      new Promise((resolve, reject) => {
        const onMessage = (answer: unknown): void => settle(() => resolve(answer as Answer))
        const onExit = (code: number | null): void =>
          settle(() =>
            code === null ? resolve('killed') : reject(new Error(`the worker ended with ${code}`)),
          )
        const settle = (how: () => void): void => {
          child.off('message', onMessage).off('exit', onExit)
          how()
        }
        child.on('message', onMessage).on('exit', onExit)
        child.send(order)
      }),
  }
}
