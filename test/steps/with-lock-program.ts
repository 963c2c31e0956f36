/** The step with-lock as its container runs it, but for people in a hurry. */
import { runAsProcess } from '../../src/steps/runtime.ts'
import { contract } from '../../src/steps/with-lock/contract.ts'
import { runWith } from '../../src/steps/with-lock/run.ts'

const tuning = { headPollMs: 20, waiterPollMs: 50, waiterReadMs: 300 }
const holding = { everyMs: 100, ttlMs: 3_000, checkMs: 50, sureForMs: 2_000 }
await runAsProcess(contract, (context) => runWith(context, { tuning, holding, graceMs: 300 }))
