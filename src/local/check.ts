/** Checks a pipeline's tasks by replacing their variables with samples. */
import { checkParams, samplesOf, withDefaults, type Values } from './params.ts'
import { implicitPaths, pathsIn } from './paths.ts'
import type { Plan, TaskPlan } from './plan.ts'
import { sampleScope, stepScope, taskScope } from './scope.ts'
import { expandStep, sampleStepResults, type Program } from './step.ts'
import { attempt, replacer, type Report, type Scope } from './variables.ts'

/** Checks one pipeline task against the pipeline around it, and its steps against the task. */
export function checkTask(task: TaskPlan, plan: Plan, report: Report): void {
  const { where } = task
  const replace = replacer(sampleScope(plan, task), { sample: true })
  const field = <T>(name: string, fallback: T, action: () => T): T =>
    attempt(report, `${where}.${name}`, fallback, action)
  const given: Values = {}
  for (const [i, { name, value }] of task.params.entries()) {
    given[name] = field(`params[${i}]`, value, () => replace.value(value))
  }
  for (const [i, { name, value }] of (task.matrix?.params ?? []).entries()) {
    const values = field(`matrix.params[${i}]`, value, () => replace.value(value))
    if (!Array.isArray(values)) report(`${where}.matrix.params[${i}]`, 'expected an array')
    if (name in given) report(`${where}.matrix.params[${i}]`, `${name} is in params too`)
    given[name] = ''
  }
  for (const [i, { params }] of (task.matrix?.include ?? []).entries()) {
    for (const { name, value } of params) {
      const single = field(`matrix.include[${i}]`, '', () => replace.value(value))
      if (typeof single !== 'string')
        report(`${where}.matrix.include[${i}]`, `expected ${name} to be a string`)
      given[name] = ''
    }
  }
  for (const [i, when] of task.when.entries()) {
    field(`when[${i}]`, undefined, () => void [replace.value(when.input), replace.list(when.values)])
  }
  for (const problem of checkParams(task.spec.params, given)) report(`${where}.params`, problem)
  checkWorkspaces(task, plan, report, (i, subPath) =>
    field(`workspaces[${i}].subPath`, '', () => replace.text(subPath)),
  )
  checkSteps(task, plan, given, report)
}

type SubPath = (i: number, subPath: string) => string

function checkWorkspaces(task: TaskPlan, plan: Plan, report: Report, subPath: SubPath): void {
  const { where } = task
  for (const [i, { name, workspace = name, subPath: path }] of task.workspaces.entries()) {
    const declared = task.spec.workspaces.find((other) => other.name === name)
    if (!declared) report(`${where}.workspaces[${i}]`, `the Task ${task.task} declares no workspace ${name}`)
    if (!Object.hasOwn(plan.workspaces, workspace)) {
      report(`${where}.workspaces[${i}]`, `the pipeline declares no workspace ${workspace}`)
    } else if (declared && !declared.optional && !plan.workspaces[workspace]) {
      report(
        `${where}.workspaces[${i}]`,
        `the Task needs ${name}, and the optional workspace ${workspace} is not bound`,
      )
    }
    if (path !== undefined) subPath(i, path)
  }
  for (const { name, optional } of task.spec.workspaces) {
    if (!optional && !task.workspaces.some((workspace) => workspace.name === name)) {
      report(`${where}.workspaces`, `the workspace ${name} of the Task ${task.task} is missing`)
    }
  }
}

const FIELD = /^(metadata\.(name|uid|namespace|(labels|annotations)\['[^']+'\])|spec\.nodeName)$/

function checkSteps(task: TaskPlan, plan: Plan, given: Values, report: Report): void {
  const samples = { ...(task.embedded ? plan.params : {}), ...samplesOf(task.spec.params), ...given }
  const params = attempt(report, `${task.specWhere}.params`, samples, () =>
    withDefaults(task.spec.params, samples, { sample: true }),
  )
  const folder = '/sample'
  const mappings = implicitPaths(folder)
  for (const { mountPath } of task.spec.workspaces) if (mountPath) mappings.set(mountPath, folder)
  const scope = taskScope(task, { taskRun: { name: '', uid: '' }, params, workspaces: {}, folder })
  const volumes = task.spec.volumes.map((volume) => volume.name)
  const all = [...task.steps, ...task.sidecars]
  for (const [i, step] of all.entries()) {
    const before = all.slice(0, i)
    if (before.some((other) => other.name === step.name))
      report(step.where, `two steps have the name ${step.name}`)
    const program = expandStep(
      step,
      {
        scope: { ...scope, step: stepScope(step, folder), steps: sampleStepResults(before) },
        mappings,
        real: [],
        volume: (name) => (volumes.includes(name) ? folder : undefined),
        options: { sample: true },
      },
      report,
    )
    for (const [n, { value }] of program.env.entries()) {
      if (typeof value !== 'string' && !FIELD.test(value.field)) {
        report(
          `${step.where}.env[${n}].valueFrom.fieldRef`,
          `${value.field} is not supported by the local runner`,
        )
      }
    }
    warnOfPaths(step.script, program, `${task.name} ${step.name}`, plan)
  }
  const results: Scope = { steps: sampleStepResults(task.steps) }
  for (const [i, { value }] of task.spec.results.entries()) {
    const where = `${task.specWhere}.results[${i}].value`
    if (value !== undefined)
      attempt(report, where, '', () => replacer(results, { sample: true }).value(value))
  }
}

function warnOfPaths(script: string | undefined, program: Program, step: string, plan: Plan): void {
  const paths = pathsIn(script ?? '', program.mappings)
  if (paths.length === 0) return
  plan.warnings.push(
    `${step}: its script spells out ${paths.join(', ')}, which is a path of this machine here`,
  )
}

/** Finds tasks that wait for what is not there, or for each other. */
export function checkOrder(tasks: readonly TaskPlan[], report: Report): void {
  const inOrder = tasks.filter((task) => !task.final)
  const names = inOrder.map((task) => task.name)
  for (const task of tasks) {
    if (task.final && task.runAfter.length > 0)
      report(`${task.where}.runAfter`, 'finally tasks have no order')
    for (const name of task.runAfter)
      if (!names.includes(name)) report(`${task.where}.runAfter`, `no task ${name}`)
  }
  let left = inOrder
  for (;;) {
    const waiting = left.map((task) => task.name)
    const next = left.filter((task) => task.dependsOn.some((name) => waiting.includes(name)))
    if (next.length === left.length) break
    left = next
  }
  if (left.length > 0) report('', `the tasks ${left.map((task) => task.name).join(', ')} wait for each other`)
}
