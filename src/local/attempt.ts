/** One attempt at a TaskRun, which in a cluster is a pod: folders of its own, and its steps in order. */
import { join, resolve } from 'node:path'
import { stepOfCommand } from '../contract.ts'
import { errno } from '../errors.ts'
import { nodePath, startChild, type Child } from '../platform/child.ts'
import * as fs from '../platform/fs.ts'
import { hostName } from '../platform/host.ts'
import { uuid } from '../platform/random.ts'
import type { End, RunContext, TaskRun } from './context.ts'
import { parseResult, withDefaults, type Values } from './params.ts'
import { implicitPaths } from './paths.ts'
import { seconds } from './report.ts'
import type { ResultSpec } from './schema.ts'
import { NAMESPACE, stepResultPath, stepScope, taskResultPath, taskScope } from './scope.ts'
import { expandStep, likeKubelet, type Program, type StepPlan } from './step.ts'
import { deadline, Stop } from './stop.ts'
import { ReferenceError, replacer, type Scope } from './variables.ts'

export class Attempt {
  readonly #run: TaskRun
  readonly #context: RunContext
  readonly #stop: AbortSignal
  readonly #folder: string
  readonly #pod: { name: string; uid: string }
  readonly #mappings: Map<string, string>

  constructor(run: TaskRun, attempt: number, context: RunContext, stop: AbortSignal) {
    this.#run = run
    this.#context = context
    this.#stop = stop
    this.#folder = join(context.folder, run.name, String(attempt))
    this.#pod = { name: `${run.name}-pod${attempt > 1 ? `-retry${attempt - 1}` : ''}`, uid: uuid() }
    this.#mappings = implicitPaths(this.#folder)
  }

  async run(): Promise<End> {
    const { task } = this.#run
    await this.#makeFolders()
    const scope = this.#scope()
    const sidecars = await Promise.all(task.sidecars.map((sidecar) => this.#start(sidecar, scope, [])))
    try {
      return await this.#runSteps(scope)
    } finally {
      for (const { child } of sidecars) {
        child.stop(this.#context.graceMs)
        onAbort([this.#context.kill], child.ended, () => child.kill())
      }
      for (const { ended } of sidecars) await ended
    }
  }

  async #runSteps(scope: Scope): Promise<End> {
    const { task } = this.#run
    const steps: Record<string, Scope> = {}
    for (const step of task.steps) {
      const lastLines: string[] = []
      const limit = deadline(step.timeout, `the step took over ${seconds(step.timeout ?? 0)}`)
      const exitCode = await this.#runStep(step, { ...scope, steps }, limit.signal, lastLines)
      limit.clear()
      const stopped: unknown = this.#stop.reason ?? limit.signal.reason
      const failed = { step: step.name, exitCode, lastLines }
      if (this.#stop.aborted && stopped instanceof Stop) {
        return { status: stopped.status, message: stopped.message, failed, results: {} }
      }
      const results = await readResults(step.results, (name) => stepResultPath(this.#folder, step.name, name))
      steps[step.name] = { results }
      if (stopped instanceof Stop)
        return { status: 'Failed', message: stopped.message, failed, results: await this.#results(steps) }
      if (exitCode !== 0 && step.onError !== 'continue')
        return { status: 'Failed', failed, results: await this.#results(steps) }
    }
    return { status: 'Succeeded', results: await this.#results(steps) }
  }

  #scope(): Scope {
    const { task, name, uid, params, workspaces } = this.#run
    const visible = task.embedded ? { ...this.#context.plan.params, ...params } : params
    return taskScope(task, {
      taskRun: { name, uid },
      params: withDefaults(task.spec.params, visible),
      workspaces,
      folder: this.#folder,
    })
  }

  async #makeFolders(): Promise<void> {
    const { task, workspaces } = this.#run
    for (const folder of this.#mappings.values()) await fs.mkdirp(folder)
    for (const step of task.steps) await fs.mkdirp(join(stepResultPath(this.#folder, step.name, ''), '.'))
    for (const volume of task.spec.volumes) await fs.mkdirp(this.#volume(volume.name))
    for (const { name, mountPath } of task.spec.workspaces) {
      const folder = workspaces[name]
      if (folder === undefined) continue
      this.#mappings.set(mountPath ?? `/workspace/${name}`, folder)
      // For what reaches it by a relative path.
      if (!mountPath) await fs.symlink(folder, join(this.#folder, 'workspace', name))
    }
  }

  #volume(name: string): string {
    return join(this.#folder, 'volumes', name)
  }

  async #runStep(step: StepPlan, scope: Scope, limit: AbortSignal, lastLines: string[]): Promise<number> {
    const { kill, graceMs } = this.#context
    const { child, ended } = await this.#start(step, scope, lastLines)
    onAbort([this.#stop, limit], ended, () => child.stop(graceMs))
    onAbort([kill], ended, () => child.kill())
    return ended
  }

  /** Starts a step or a sidecar; it has ended when its output is written. */
  async #start(
    step: StepPlan,
    scope: Scope,
    lastLines: string[],
  ): Promise<{ child: Child; ended: Promise<number> }> {
    const { name, task, workspaces } = this.#run
    const { progress, logs, inherit } = this.#context
    const volumes = task.spec.volumes.map((volume) => volume.name)
    const program = expandStep(
      step,
      {
        scope: { ...scope, step: stepScope(step, this.#folder) },
        mappings: this.#mappings,
        real: [this.#folder, ...Object.values(workspaces)],
        volume: (volume) => (volumes.includes(volume) ? this.#volume(volume) : undefined),
      },
      (where, problem) => {
        throw new ReferenceError(`${where}: ${problem}`)
      },
    )
    const cwd = resolve(this.#mappings.get('/workspace') ?? this.#folder, program.workingDir)
    await fs.mkdirp(cwd)
    const log = logs === undefined ? undefined : await fs.open(join(logs, `${name}.${step.name}.log`), 'a')
    let logged = Promise.resolve()
    const child = startChild({
      ...(await this.#command(step, program)),
      cwd,
      inherit,
      onLine(line) {
        lastLines.push(line)
        if (lastLines.length > LAST_LINES) lastLines.shift()
        progress.line(name, step.name, line)
        if (log) logged = logged.then(() => log.appendFile(`${line}\n`))
      },
    })
    const ended = child.ended.then(async (exitCode) => {
      await logged
      await log?.close()
      return exitCode
    })
    return { child, ended }
  }

  async #command(
    step: StepPlan,
    program: Program,
  ): Promise<{ command: string; args: string[]; env: Record<string, string> }> {
    const { env, argv } = likeKubelet(program, (path) => this.#field(path))
    const all = { ...this.#context.env, HOME: this.#mappings.get('/tekton/home') ?? this.#folder, ...env }
    if (program.script === undefined) {
      const [command = '', ...args] = withOwnProgram(argv, this.#context.programs)
      return { command, args, env: all }
    }
    const script = join(this.#folder, `script-${step.name}`)
    const shebang = program.script.trimStart().startsWith('#!') ? '' : '#!/bin/sh\nset -e\n'
    const file = await fs.create(script, 0o700)
    await fs.write(file, Buffer.from(shebang + program.script), script)
    await file.close()
    return { command: script, args: argv, env: all }
  }

  /** What the downward API says of a pod. */
  #field(path: string): string {
    const { task, name, uid } = this.#run
    const { plan } = this.#context
    const label = /^metadata\.labels\['tekton\.dev\/(\w+)'\]$/.exec(path)?.[1]
    const ofPipeline = {
      pipelineRun: plan.name,
      pipelineRunUID: plan.uid,
      pipeline: plan.pipelineName,
      pipelineTask: task.name,
      memberOf: task.final ? 'finally' : 'tasks',
    }
    const labels: Record<string, string> = {
      taskRun: name,
      taskRunUID: uid,
      task: task.task,
      ...(plan.bare ? {} : ofPipeline),
    }
    const fields: Record<string, string> = {
      'metadata.name': this.#pod.name,
      'metadata.uid': this.#pod.uid,
      'metadata.namespace': NAMESPACE,
      'spec.nodeName': hostName(),
    }
    return fields[path] ?? labels[label ?? ''] ?? ''
  }

  async #results(steps: Record<string, Scope>): Promise<Values> {
    const specs = this.#run.task.spec.results
    const written = await readResults(specs, (name) => taskResultPath(this.#folder, name))
    for (const { name, value } of specs) {
      if (value === undefined) continue
      try {
        written[name] = replacer({ steps }).value(value)
      } catch (error) {
        // A step that did not run, or did not write it: there is no such result.
        if (!(error instanceof ReferenceError)) throw error
      }
    }
    return written
  }
}

/** A program of our own is in the image; here it is in `programs`. A sidecar's shell may start it. */
function withOwnProgram(argv: readonly string[], programs: string): string[] {
  const at = argv.findIndex((_, i) => stepOfCommand(argv.slice(i)) !== undefined)
  const own = stepOfCommand(argv.slice(at))
  if (own === undefined) return [...argv]
  return [...argv.slice(0, at), nodePath, join(programs, own, 'main.ts'), ...argv.slice(at + 2)]
}

const LAST_LINES = 20

function onAbort(signals: readonly AbortSignal[], until: Promise<unknown>, action: () => void): void {
  const over = new AbortController()
  void until.then(() => over.abort())
  for (const signal of signals) {
    if (signal.aborted) action()
    else signal.addEventListener('abort', action, { once: true, signal: over.signal })
  }
}

async function readResults(specs: readonly ResultSpec[], pathOf: (name: string) => string): Promise<Values> {
  const values: Values = {}
  for (const spec of specs) {
    try {
      values[spec.name] = parseResult(spec, (await fs.readFile(pathOf(spec.name))).toString())
    } catch (error) {
      if (errno(error) !== 'ENOENT') throw error
    }
  }
  return values
}
