/** Temporary folders, small pipelines and their runs. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import { runPipeline, type RunOptions } from '../../src/local/run.ts'
import type { RunReport, TaskReport } from '../../src/local/report.ts'

export async function temporary(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'local-test-'))
  onTestFinished(() => rm(folder, { recursive: true, force: true }))
  return folder
}

/** The text without the indentation of its first line. */
export function dedent(text: string): string {
  const lines = text.replace(/^\n/, '').trimEnd().split('\n')
  const indent = /^ */.exec(lines[0] ?? '')?.[0].length ?? 0
  return lines.map((line) => line.slice(indent)).join('\n')
}

const indented = (text: string): string => dedent(text).replaceAll('\n', '\n  ')

/** A Pipeline with this spec; `more` are further documents, whole. */
export const pipeline = (spec: string, ...more: string[]): string =>
  [
    `apiVersion: tekton.dev/v1\nkind: Pipeline\nmetadata: {name: p}\nspec:\n  ${indented(spec)}\n`,
    ...more.map(dedent),
  ].join('\n---\n')

export const task = (spec: string, name = 't'): string =>
  `apiVersion: tekton.dev/v1\nkind: Task\nmetadata: {name: ${name}}\nspec:\n  ${indented(spec)}\n`

export const stepAction = (spec: string, name = 'a'): string =>
  `apiVersion: tekton.dev/v1beta1\nkind: StepAction\nmetadata: {name: ${name}}\nspec:\n  ${indented(spec)}\n`

/** An embedded task of one script, as flow YAML: `words(…)` go to its env as A, B, …. */
export const script = (text: string, extra = ''): string =>
  `taskSpec: {${extra ? `${extra}, ` : ''}steps: [{name: s, image: i, script: ${JSON.stringify(text)}}]}`

export interface Ran {
  report: RunReport
  /** The tasks that ran or were skipped: `name:Status` in the pipeline's order. */
  statuses: string[]
  task: (name: string) => TaskReport
  /** Every line: `taskRun-suffix step: text`. */
  output: string[]
  notes: string[]
}

/** Writes the YAML into a file and runs it. */
export async function run(yaml: string, options: Partial<RunOptions> = {}): Promise<Ran> {
  const file = join(await temporary(), 'file.yaml')
  await writeFile(file, yaml)
  const output: string[] = []
  const notes: string[] = []
  const report = await runPipeline({
    pipeline: file,
    catalog: await temporary(),
    progress: {
      note: (line) => void notes.push(line),
      started() {},
      line: (_taskRun, _step, line) => void output.push(line),
      ended() {},
      close() {},
    },
    ...options,
  })
  return {
    report,
    statuses: report.tasks.map((one) => `${one.name}:${one.status}`),
    task(name) {
      const found = report.tasks.find((one) => one.name === name)
      if (!found) throw new Error(`no task ${name}`)
      return found
    },
    output,
    notes,
  }
}

/** What is wrong with the YAML, line by line. */
export async function problemsOf(yaml: string, options: Partial<RunOptions> = {}): Promise<string[]> {
  try {
    await run(yaml, options)
  } catch (error) {
    return (error as Error).message
      .split('\n')
      .slice(1)
      .map((line) => line.replace('  - ', ''))
  }
  throw new Error('it ran')
}

export const read = async (...path: string[]): Promise<string> => (await readFile(join(...path))).toString()

/** Waits until `get` gives something. */
export async function until<T>(get: () => Promise<T | undefined> | T | undefined, ms = 10_000): Promise<T> {
  const end = performance.now() + ms
  for (;;) {
    const got = await get()
    if (got !== undefined) return got
    if (performance.now() > end) throw new Error(`waited ${ms} ms for ${get.toString()}`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}
