import { mkdir, readdir, readFile } from 'node:fs/promises'
import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { execa } from 'execa'
import { paramEnv, resultEnv, workspaceEnv } from '../../src/contract.ts'
import { CONTRACTS } from '../../src/catalog/contracts.ts'
import { installed } from './installed.ts'
import { defaultOf } from '../../src/catalog/step.ts'

const SOURCE = join(import.meta.dirname, '../../src/steps')

export interface StepOptions {
  params?: Record<string, string>
  args?: string[]
  workspaces: Record<string, string>
  /** Merged over a PipelineRun's identity. */
  identity?: Record<string, string>
  uid?: number
  gid?: number
  umask?: string
  resultsIn: string
}

export interface StepOutcome {
  exitCode: number
  events: Record<string, unknown>[]
  /** The event or error line of that name. */
  line: (name: string) => Record<string, unknown> | undefined
  stdout: string
  results: Record<string, string>
}

async function programOf(name: string, otherUser: boolean): Promise<string[]> {
  if (!otherUser) return [process.execPath, join(SOURCE, name, 'main.ts')]
  const folder = await installed()
  return [join(folder, 'node'), join(folder, 'steps', `${name}.mjs`)]
}

/** A PipelineRun's task as the downward API tells of it. */
export const identityOf = (
  run: string,
  task: string,
  pod: string = randomUUID(),
): Record<string, string> => ({
  TEKTON_PIPELINE_RUN: run,
  TEKTON_PIPELINE_RUN_UID: `uid-of-${run}`,
  TEKTON_PIPELINE_TASK: task,
  TEKTON_TASK_RUN: `${run}-${task}`,
  TEKTON_TASK_RUN_UID: `uid-of-${run}-${task}`,
  POD_NAMESPACE: 'test',
  POD_NAME: `${run}-${task}-pod`,
  POD_UID: pod,
  NODE_NAME: 'node-a',
})

/** Runs a step's program as its container would: params by env with the Task's defaults, JSON lines out. */
export async function runStep(name: string, options: StepOptions): Promise<StepOutcome> {
  const contract = CONTRACTS.find((item) => item.name === name)!
  const resultsFolder = join(options.resultsIn, `results-${randomUUID()}`)
  await mkdir(resultsFolder, { recursive: true, mode: 0o777 })
  await execa('chmod', ['0777', resultsFolder])
  const env: Record<string, string> = { PATH: process.env['PATH'] ?? '', SHARED_WORKSPACE_LOG: 'json' }
  for (const [param, definition] of Object.entries(contract.params)) {
    const value = options.params?.[param] ?? defaultOf(definition, 'task')
    if (typeof value === 'string') env[paramEnv(param)] = value
  }
  for (const [workspace, path] of Object.entries(options.workspaces)) env[workspaceEnv(workspace)] = path
  for (const result of Object.keys(contract.results)) env[resultEnv(result)] = join(resultsFolder, result)
  Object.assign(env, identityOf('run-1', 'task-1', 'pod-1'), options.identity)
  const program = [...(await programOf(name, options.uid !== undefined)), ...(options.args ?? [])]
  const command = ['-c', `umask ${options.umask ?? '022'}; exec "$@"`, 'sh', ...program]
  const users = {
    ...(options.uid === undefined ? {} : { uid: options.uid }),
    ...(options.gid === undefined ? {} : { gid: options.gid }),
  }
  const { exitCode, stdout } = await execa('sh', command, {
    env,
    extendEnv: false,
    reject: false,
    all: true,
    ...users,
  })
  const lines = stdout.split('\n').flatMap((line) => {
    try {
      return [JSON.parse(line) as Record<string, unknown>]
    } catch {
      return []
    }
  })
  const results: Record<string, string> = {}
  for (const file of await readdir(resultsFolder))
    results[file] = await readFile(join(resultsFolder, file), 'utf8')
  const line = (wanted: string) => lines.find((item) => item['event'] === wanted || item['code'] === wanted)
  return { exitCode: exitCode ?? -1, events: lines, line, stdout, results }
}
