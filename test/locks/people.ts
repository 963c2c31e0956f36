/** Who locks in tests, and how fast: also for processes that are not part of a test. */
import { randomUUID } from 'node:crypto'
import type { Identity } from '../../src/identity.ts'
import { TUNING, type Tuning } from '../../src/locks/tuning.ts'

export const LOCK = 'deploy'

/** As the product's, but for people in a hurry. */
export const FAST: Tuning = {
  ...TUNING,
  leastPollMs: 10,
  headPollMs: 10,
  waiterPollMs: 30,
  waiterReadMs: 300,
  missingMs: 500,
  compactAfter: 64,
  waiterHeartbeat: { everyMs: 100, ttlMs: 600 },
  holderAsk: { firstMs: 20, maxMs: 40 },
  waiterAsk: { firstMs: 20, maxMs: 40 },
}

export function identityOf(run: string, task: string, pod: string = randomUUID()): Identity {
  const owner = (kind: 'PipelineRun' | 'TaskRun', name: string) => ({
    kind,
    namespace: 'ci',
    name,
    uid: `uid-of-${name}`,
  })
  return {
    run: owner('PipelineRun', run),
    taskRun: owner('TaskRun', `${run}-${task}`),
    task,
    pod: { name: `${run}-${task}-pod`, uid: pod },
    node: 'node-a',
  }
}
