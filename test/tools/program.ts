/** The step tool-install as its container runs it, but for people in a hurry. */
import { runAsProcess } from '../../src/steps/runtime.ts'
import { contract } from '../../src/steps/tool-install/contract.ts'
import { runWith } from '../../src/steps/tool-install/run.ts'
import { FAST, FAST_LOCKING } from './fast.ts'

await runAsProcess(contract, (context) => runWith(context, { tuning: FAST, locking: FAST_LOCKING }))
