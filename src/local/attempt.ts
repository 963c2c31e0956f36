/** One attempt at a TaskRun, which in a cluster is a pod: folders of its own, and its steps in order. */
import { join, resolve } from 'node:path'
import { errno } from '../errors.ts'
import { nodePath, startChild } from '../platform/child.ts'
import * as fs from '../platform/fs.ts'
import { hostName } from '../platform/host.ts'
import { uuid } from '../platform/random.ts'
import type { End, RunContext, TaskRun } from './context.ts'
import { parseResult, withDefaults, type Values } from './params.ts'
import { implicitPaths } from './paths.ts'
import { seconds } from './report.ts'
import type { ResultSpec } from './schema.ts'
import { NAMESPACE, stepResultPath, stepScope, taskResultPath, taskScope } from './scope.ts'
import { expandStep, likeKubelet, ownStep, type Program, type StepPlan } from './step.ts'
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
    const { name, task, workspaces } = this.#run
    const { progress, logs, inherit, kill, graceMs } = this.#context
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
    const ended = new AbortController()
    onAbort([this.#stop, limit], ended.signal, () => child.stop(graceMs))
    onAbort([kill], ended.signal, () => child.kill())
    const exitCode = await child.ended
    ended.abort()
    await logged
    await log?.close()
    return exitCode
  }

  async #command(
    step: StepPlan,
    program: Program,
  ): Promise<{ command: string; args: string[]; env: Record<string, string> }> {
    const { env, argv } = likeKubelet(program, (path) => this.#field(path))
    const all = { ...this.#context.env, HOME: this.#mappings.get('/tekton/home') ?? this.#folder, ...env }
    const own = ownStep(program)
    if (own)
      return {
        command: nodePath,
        args: [join(this.#context.programs, own, 'main.ts'), ...argv.slice(2)],
        env: all,
      }
    if (program.script === undefined) return { command: argv[0] ?? '', args: argv.slice(1), env: all }
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

const LAST_LINES = 20

function onAbort(signals: readonly AbortSignal[], until: AbortSignal, action: () => void): void {
  for (const signal of signals) {
    if (signal.aborted) action()
    else signal.addEventListener('abort', action, { once: true, signal: until })
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
