/** A step as it runs: a Step or the StepAction that it refers to, over the step template. */
import { checkParams, mapTexts, samplesOf, toValues, withDefaults, type Values } from './params.ts'
import { pathMapper, type Mappings } from './paths.ts'
import type { Catalog } from './catalog.ts'
import type { EnvVar, ParamSpec, ResultSpec, Step, TaskSpec } from './schema.ts'
import {
  attempt,
  expandLikeKubelet,
  ReferenceError,
  replacer,
  type Report,
  type ReplacerOptions,
  type Scope,
} from './variables.ts'

export interface StepPlan extends Pick<
  Step,
  'command' | 'args' | 'env' | 'workingDir' | 'volumeMounts' | 'script'
> {
  name: string
  /** Where it is defined, for problems. */
  where: string
  results: ResultSpec[]
  onError: 'continue' | 'stopAndFail'
  timeout: number | undefined
  /** A StepAction's params: what it declares, and what the step gives. */
  action: { specs: ParamSpec[]; given: Values } | undefined
}

/** Reads a Task's steps; those whose StepAction cannot be found are left out. */
export async function planSteps(
  { steps, stepTemplate }: Pick<TaskSpec, 'steps' | 'stepTemplate'>,
  where: string,
  catalog: Catalog,
  report: Report,
): Promise<StepPlan[]> {
  const planned = await Promise.all(
    steps.map((step, i) => planStep(stepTemplate, step, i, `${where}[${i}]`, catalog, report)),
  )
  return planned.filter((step) => step !== undefined)
}

const NOT_WITH_REF = [
  'image',
  'command',
  'args',
  'script',
  'workingDir',
  'env',
  'volumeMounts',
  'results',
] as const

async function planStep(
  template: TaskSpec['stepTemplate'],
  step: Step,
  i: number,
  where: string,
  catalog: Catalog,
  report: Report,
) {
  const action = step.ref ? await catalog.resolve('StepAction', step.ref, `${where}.ref`) : undefined
  if (step.ref && !action) return undefined
  for (const key of NOT_WITH_REF)
    if (step.ref && step[key] !== undefined) report(`${where}.${key}`, 'not with a ref')
  if (step.params && !step.ref) report(`${where}.params`, 'only with a ref')
  const { name = `unnamed-${i}`, onError = 'stopAndFail', timeout } = step
  const body = action?.spec ?? step
  const given = toValues(step.params ?? [])
  for (const problem of action ? checkParams(action.spec.params, given) : [])
    report(`${where}.params`, problem)
  const plan: StepPlan = {
    name,
    where: action ? `${where} (StepAction ${action.metadata.name}): spec` : where,
    ...(body.script === undefined ? {} : { script: body.script }),
    // A script replaces the template's command, as it does in Tekton.
    command: body.script === undefined ? (body.command ?? template.command) : undefined,
    args: body.args ?? (body.script === undefined ? template.args : undefined),
    env: [
      ...new Map(
        [...(template.env ?? []), ...(body.env ?? [])].map((variable) => [variable.name, variable]),
      ).values(),
    ].filter((variable) => isHere(variable, where, report)),
    workingDir: body.workingDir ?? template.workingDir,
    volumeMounts: [...(template.volumeMounts ?? []), ...(body.volumeMounts ?? [])],
    results: body.results ?? [],
    onError,
    timeout: timeout || undefined,
    action: action ? { specs: action.spec.params, given } : undefined,
  }
  if (body.script !== undefined && body.command) report(`${where}.script`, 'not with command')
  if (body.script === undefined && !plan.command?.length) {
    report(
      `${where}.command`,
      'a step needs a command or a script here: there is no image to take its entrypoint from',
    )
  }
  return plan
}

/** There are no ConfigMaps and Secrets here: what is optional stays as this process has it in its environment. */
function isHere({ name, valueFrom }: EnvVar, where: string, report: Report): boolean {
  const ref = valueFrom?.configMapKeyRef ?? valueFrom?.secretKeyRef
  if (ref && !ref.optional)
    report(
      `${where}.env.${name}`,
      `there is no ConfigMap or Secret here; make its reference to ${ref.name} optional`,
    )
  return !ref
}

/** What a step starts, with every variable replaced. */
export interface Program {
  script: string | undefined
  argv: string[]
  env: { name: string; value: string | { field: string } }[]
  workingDir: string
  /** The paths of the pod that this step sees, with their folders. */
  mappings: Mappings
}

export interface StepSurroundings {
  scope: Scope
  mappings: Mappings
  /** Folders of this machine: a param's value in one of them is no path of the pod. */
  real: readonly string[]
  /** The folder that stands for a volume. */
  volume: (name: string) => string | undefined
  options?: ReplacerOptions
}

/** Replaces a step's variables and paths; each field that fails goes to `report` and is left empty. */
export function expandStep(
  step: StepPlan,
  { scope, mappings, real, volume, options }: StepSurroundings,
  report: Report,
): Program {
  const field = <T>(name: string, fallback: T, action: () => T): T =>
    attempt(report, `${step.where}.${name}`, fallback, action)
  const params = paramsOf(step, scope, field, options)
  const mounted = new Map(mappings)
  const mounts = replacer({ ...scope, params }, options)
  for (const [i, mount] of (step.volumeMounts ?? []).entries()) {
    field(`volumeMounts[${i}]`, undefined, () => {
      const folder = volume(mounts.text(mount.name))
      if (folder === undefined) throw new ReferenceError(`the task has no volume ${mounts.text(mount.name)}`)
      mounted.set(mounts.text(mount.mountPath), folder)
    })
  }
  const mapParam = pathMapper(mounted, real)
  const within = { ...scope, params: mapTexts(params, mapParam) }
  const inner = replacer(within, options)
  const mapped = pathMapper(mounted)
  const texts = (name: 'command' | 'args'): string[] =>
    (step[name] ?? []).flatMap((text, i) => field(`${name}[${i}]`, [], () => inner.list([mapped(text)])))
  return {
    // Results of steps reach command, args and env only: Tekton's entrypoint does not rewrite a script.
    script:
      step.script &&
      field('script', '', () => replacer({ ...within, steps: {} }, options).text(step.script ?? '')),
    argv: [...texts('command'), ...texts('args')],
    env: (step.env ?? []).map((variable, i) => ({
      name: variable.name,
      value: variable.valueFrom?.fieldRef
        ? { field: variable.valueFrom.fieldRef.fieldPath }
        : field(`env[${i}].value`, '', () => inner.text(mapped(variable.value ?? ''))),
    })),
    workingDir: field('workingDir', '', () => inner.text(mapped(step.workingDir ?? '/workspace'))),
    mappings: mounted,
  }
}

type Field = <T>(name: string, fallback: T, action: () => T) => T

/** The params that a step's fields see: those of its StepAction, else the task's. */
function paramsOf(step: StepPlan, scope: Scope, field: Field, options?: ReplacerOptions): Values {
  if (!step.action) return scope['params'] as Values
  const { specs, given } = step.action
  const outer = replacer(scope, options)
  const values = Object.entries(given).map(
    ([name, value]) => [name, field(`params.${name}`, '', () => outer.value(value))] as const,
  )
  return field('params', {}, () => withDefaults(specs, Object.fromEntries(values), options))
}

/** The env and argv that a container would get: the kubelet replaces `$(NAME)` by env defined before. */
export function likeKubelet(
  program: Program,
  field: (path: string) => string,
): { env: Record<string, string>; argv: string[] } {
  const env: Record<string, string> = {}
  for (const { name, value } of program.env) {
    env[name] = typeof value === 'string' ? expandLikeKubelet(value, env) : field(value.field)
  }
  return { env, argv: program.argv.map((text) => expandLikeKubelet(text, env)) }
}

/** The results of each step as samples, for checks before anything has run. */
export const sampleStepResults = (steps: readonly StepPlan[]): Scope =>
  Object.fromEntries(steps.map((step) => [step.name, { results: samplesOf(step.results) }]))
