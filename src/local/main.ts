/** `./run pipeline <name | file.yaml> --workspace shared=<folder> [--param k=v]`: runs it here, without a cluster. */
import { parseArgs } from 'node:util'
import { describeError } from '../events.ts'
import { toWorkspaceError } from '../errors.ts'
import { onStopSignals } from '../platform/child.ts'
import * as host from '../platform/host.ts'
import { duration } from '../schemas.ts'
import { progressHere } from './progress.ts'
import { formatReport } from './report.ts'
import { runPipeline, type RunOptions } from './run.ts'

const USAGE = `usage: ./run pipeline <name | file.yaml> [options]
  --workspace <name>=<folder>   binds a workspace; once for each
  --param <name>=<value>        a param; JSON where it is an array or an object
  --timeout <10m>               for the whole run, over the file's
  --keep-logs                   keeps each step's output
  --catalog <folder>            with pipelines/, tasks/ and stepactions/, instead of this checkout
Exit code: 0; that of the first step that failed, or 1 where none did; 130 cancelled; 64 for bad input.`

function readOptions(args: readonly string[]): RunOptions {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      workspace: { type: 'string', multiple: true, default: [] },
      param: { type: 'string', multiple: true, default: [] },
      timeout: { type: 'string' },
      'keep-logs': { type: 'boolean', default: false },
      catalog: { type: 'string' },
    },
  })
  const [pipeline, ...more] = positionals
  if (pipeline === undefined || more.length > 0) throw new Error('expected one pipeline')
  const timeout = values.timeout === undefined ? undefined : duration.safeParse(values.timeout)
  if (timeout?.error) throw new Error(`--timeout: ${timeout.error.issues[0]?.message}`)
  return {
    pipeline,
    workspaces: Object.fromEntries(pairs('--workspace', values.workspace)),
    params: Object.fromEntries(pairs('--param', values.param)),
    keepLogs: values['keep-logs'],
    ...(timeout ? { timeoutMs: timeout.data } : {}),
    ...(values.catalog === undefined ? {} : { catalog: values.catalog }),
  }
}

const pairs = (option: string, given: readonly string[]): [string, string][] =>
  given.map((pair) => {
    const at = pair.indexOf('=')
    if (at < 1) throw new Error(`expected ${option} <name>=<value>, found ${JSON.stringify(pair)}`)
    return [pair.slice(0, at), pair.slice(at + 1)]
  })

async function main(): Promise<number> {
  let options: RunOptions
  try {
    options = readOptions(host.args)
  } catch (error) {
    host.writeLine(`${error instanceof Error ? error.message : String(error)}\n${USAGE}`)
    return 64
  }
  const cancel = new AbortController()
  const kill = new AbortController()
  const progress = progressHere(host.writeLine)
  const dispose = onStopSignals((count, signal) => {
    if (count === 1)
      progress.note(`${signal}: cancelling; steps have 30 s, finally tasks do not run; once more to kill`)
    ;(count === 1 ? cancel : kill).abort()
  })
  try {
    const report = await runPipeline({ ...options, progress, cancel: cancel.signal, kill: kill.signal })
    host.writeLine(`\n${formatReport(report)}`)
    return report.exitCode
  } catch (error) {
    const failure = toWorkspaceError(error)
    host.writeLine(describeError(failure))
    return failure.exitCode
  } finally {
    dispose()
  }
}

host.exit(await main())
