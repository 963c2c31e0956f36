import { runAsProcess } from '../runtime.ts'
import { contract } from './contract.ts'
import { run } from './run.ts'

await runAsProcess(contract, run)
