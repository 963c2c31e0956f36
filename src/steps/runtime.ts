/** What every step program does the same way: read the environment by the contract, run, write results, exit. */
import {
  paramEnv,
  resultEnv,
  workspaceEnv,
  type ParamValues,
  type ResultValues,
  type StepContract,
  type WorkspaceName,
} from '../contract.ts'
import { readChange, type Change } from '../change.ts'
import { readConfiguration, type Configuration } from '../configuration.ts'
import { createLog, type Emit } from '../events.ts'
import { toWorkspaceError, WorkspaceError } from '../errors.ts'
import { LOCAL_ENV, readIdentity, type Identity } from '../identity.ts'
import * as host from '../platform/host.ts'
import { livenessHere } from '../volume/liveness-here.ts'
import { kubeEvents } from './kube-events.ts'
import { kubeStopping } from '../volume/liveness-kube.ts'
import type { Liveness, Stopping } from '../volume/liveness.ts'

export interface StepContext<C extends StepContract> {
  params: ParamValues<C>
  /** The folder of each bound workspace. */
  workspaces: Partial<Record<WorkspaceName<C>, string>>
  identity: Identity
  /** What the run was started for, where Pipelines-as-Code did that. */
  change: Change | undefined
  emit: Emit
  configuration: Configuration
  /** Prints text that was asked for, as it is. */
  print: (text: string) => void
  /** From here on stdout is the caller's, by the function that it gets; the log goes to stderr. */
  takeStdout: () => (chunk: Uint8Array) => Promise<void>
  /** Ends the process with this code although the step did what it is for: its results are written all the same. */
  endWith: (code: number) => void
  /** Aborted by SIGTERM and SIGINT: Tekton's cancel leaves 30 s. */
  signal: AbortSignal
  /** Whether an owner still lives, asked of the API in a pod and of flock in a local run. */
  liveness: Liveness
  /** Which pods were told to stop and still run. */
  stopping: Stopping
}

export type StepRun<C extends StepContract> = (context: StepContext<C>) => Promise<ResultValues<C>>

/** Tekton carries results in a termination message of 4 KiB that the steps of a pod share. */
const MAX_RESULT_BYTES = 1024

/** Runs a step as a process: the only thing that main.ts does. */
export async function runAsProcess<C extends StepContract>(contract: C, run: StepRun<C>): Promise<void> {
  const log = createLog(host.logFormat(), host.writeLogLine)
  const stop = host.abortOnSignals()
  try {
    const context = readContext(contract, host.env, host.args, log.emit, stop.signal)
    const results = await runTelling(context, run)
    await writeResults(contract, host.env, results)
  } catch (error) {
    // A library may throw its own AbortError; the signal knows better why.
    const failure = stop.signalled ? undefined : toWorkspaceError(error)
    if (failure) log.error(failure)
    else log.emit({ event: 'warning', about: contract.name, detail: `stopped by ${stop.signalled}` })
    host.exit(failure ? failure.exitCode : stop.signalled === 'SIGINT' ? 130 : 143)
  } finally {
    stop.dispose()
  }
}

/** Runs a step of which not only the log is told. */
async function runTelling<C extends StepContract>(
  context: StepContext<C>,
  run: StepRun<C>,
): Promise<ResultValues<C>> {
  const kube = kubeEvents(context.identity)
  const emit: Emit = (event) => {
    context.emit(event)
    kube.tell(event)
  }
  try {
    return await run({ ...context, emit })
  } finally {
    await kube.told()
  }
}

/** Reads params, workspaces and identity; one USAGE error names everything that is wrong with them. */
export function readContext<C extends StepContract>(
  contract: C,
  env: Record<string, string | undefined>,
  args: readonly string[],
  emit: Emit,
  signal: AbortSignal,
): StepContext<C> {
  const problems: string[] = []
  const params: Record<string, unknown> = {}
  for (const [name, definition] of Object.entries(contract.params)) {
    const given = definition.type === 'array' ? [...args] : env[paramEnv(name)]
    const result = definition.schema.safeParse(given ?? '')
    if (result.success) params[name] = result.data
    else
      problems.push(
        ...result.error.issues.map(
          (issue) => `${name}: ${issue.message}, found ${JSON.stringify(given ?? '')}`,
        ),
      )
  }
  const workspaces: Record<string, string> = {}
  for (const [name, definition] of Object.entries(contract.workspaces)) {
    const path = env[workspaceEnv(name)]
    if (path) workspaces[name] = path
    else if (!definition.optional) problems.push(`the workspace ${name} is not bound`)
  }
  const configuration = readConfiguration(contract.configuration ? env : {}, (problem) =>
    problems.push(problem),
  )
  if (problems.length > 0) {
    throw new WorkspaceError('USAGE', `${contract.name} cannot start: ${problems.join('; ')}`, {
      expected: 'parameters and workspaces as its contract says',
      found: `${problems.length} that are not`,
      hint: `see the parameters in tasks/${contract.name}/${contract.version}/README.md`,
    })
  }
  return {
    params: params as ParamValues<C>,
    workspaces,
    identity: readIdentity(env),
    change: contract.change && readChange(env),
    emit,
    configuration,
    print: host.writeLine,
    takeStdout: host.takeStdout,
    endWith: host.endWith,
    signal,
    stopping: kubeStopping(),
    liveness: livenessHere(Boolean(env[LOCAL_ENV]), workspaces['shared'] ?? ''),
  }
}

/** Writes each result to the path that Tekton gave for it. */
export async function writeResults<C extends StepContract>(
  contract: C,
  env: Record<string, string | undefined>,
  results: ResultValues<C>,
): Promise<void> {
  const texts = Object.keys(contract.results).flatMap((name) => {
    const value = results[name as keyof typeof results]
    if (value === undefined) return []
    return [[name, typeof value === 'object' ? JSON.stringify(value) : String(value)] as const]
  })
  const bytes = texts.reduce((sum, [name, value]) => sum + name.length + Buffer.byteLength(value), 0)
  if (bytes > MAX_RESULT_BYTES) {
    throw new WorkspaceError(
      'RESULT_TOO_LARGE',
      `the results of ${contract.name} are too large for Tekton to carry`,
      {
        expected: `at most ${MAX_RESULT_BYTES} bytes`,
        found: `${bytes} bytes`,
        hint: 'use shorter names for runs, tasks and outputs',
      },
    )
  }
  for (const [name, value] of texts) {
    const path = env[resultEnv(name)]
    if (path) await host.writeResult(path, value)
  }
}
