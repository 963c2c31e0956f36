/**
 * The step contract: one definition per step, from which the Task, the StepAction, the README's tables, the
 * env parser of the program and the local runner's mapping all come.
 */
import * as z from './zod.ts'
import type { ConfigurationName, SecretName } from './configuration.ts'
import type { ErrorCode } from './errors.ts'

export interface ParamDefinition<T = unknown> {
  description: string
  /** Reads and checks the text (or, for an array parameter, the texts) that Tekton hands over. */
  schema: z.ZodMiniType<T>
  /** An array parameter travels in the step's args; a step has at most one. */
  type: 'string' | 'array'
  /** Without a default the parameter is required. */
  default?: string | string[] | { task: string; stepAction: string }
}

export interface ResultDefinition {
  description: string
  /** An object result lists its properties. */
  properties?: readonly string[]
}

export interface WorkspaceDefinition {
  description: string
  optional?: true
  readOnly?: true
}

export interface StepContract<
  P extends Record<string, ParamDefinition> = Record<string, ParamDefinition>,
  R extends Record<string, ResultDefinition> = Record<string, ResultDefinition>,
  W extends Record<string, WorkspaceDefinition> = Record<string, WorkspaceDefinition>,
> {
  name: string
  /** The catalog's version, also its folder. */
  version: string
  displayName: string
  /** One line. */
  summary: string
  /** More, as Markdown. */
  description: string
  categories: readonly string[]
  tags: readonly string[]
  params: P
  results: R
  workspaces: W
  /** The failures that a user of this step should expect, beside USAGE and the storage codes. */
  errors: readonly ErrorCode[]
  resources: { requests: Resources; limits: Resources }
  /** What it reads of the namespace's configuration and Secrets. */
  configuration?: readonly (ConfigurationName | SecretName)[]
  /** Whether it takes what Pipelines-as-Code says of the change that the run is for. */
  change?: true
  /** Whether it asks the Kubernetes API whether owners live, and what becomes of it without that right. */
  api?: string
  /** Whether it runs a command, which in the Task form has an image of the user's; the program is a sidecar then. */
  commandInImage?: true
  /** The params of a small sample TaskRun. */
  sample: Record<string, string | string[]>
}

export type Resources = {
  cpu: string
  memory: string
}

/** Defines a step; the types of its params and results follow from the definition. */
export function defineStep<
  P extends Record<string, ParamDefinition>,
  R extends Record<string, ResultDefinition>,
  W extends Record<string, WorkspaceDefinition>,
>(contract: StepContract<P, R, W>): StepContract<P, R, W> {
  return contract
}

/** A parameter read by `schema`; without a default it is required. */
export function param<T>(
  schema: z.ZodMiniType<T>,
  description: string,
  fallback?: string | { task: string; stepAction: string },
): ParamDefinition<T> {
  return { schema, description, type: 'string', ...(fallback === undefined ? {} : { default: fallback }) }
}

/** An array parameter: each element read by `schema`; at least one, unless there is a default. */
export function arrayParam<T>(
  schema: z.ZodMiniType<T>,
  description: string,
  fallback?: string[],
): ParamDefinition<T[]> {
  const array = z.array(schema)
  if (fallback) return { schema: array, description, type: 'array', default: fallback }
  return { schema: array.check(z.minLength(1, 'at least one')), description, type: 'array' }
}

export type ParamValues<C extends StepContract> = {
  [K in keyof C['params']]: z.output<C['params'][K]['schema']>
}
export type ResultValues<C extends StepContract> = {
  [K in keyof C['results']]?: C['results'][K] extends { properties: readonly (infer N extends string)[] }
    ? Record<N, string>
    : string | number
}
export type WorkspaceName<C extends StepContract> = Extract<keyof C['workspaces'], string>

const screaming = (name: string): string =>
  name
    .replace(/([a-z0-9])([A-Z])/g, '$1_$2')
    .replaceAll('-', '_')
    .toUpperCase()

/** The names of the environment variables by which values reach the program. */
export const paramEnv = (name: string): string => `PARAM_${screaming(name)}`
export const resultEnv = (name: string): string => `RESULT_${screaming(name)}`
export const workspaceEnv = (name: string): string => `WORKSPACE_${screaming(name)}`

/** The StepAction's parameter that stands for a workspace, since StepActions have none: `shared` → `sharedPath`. */
export const workspaceParam = (name: string): string => `${name}Path`

/** The image's file that holds a step's program; the local runner finds the step's name in it. */
export const STEP_FOLDER = '/opt/shared-workspace/steps'
export const stepCommand = (name: string): string[] => ['node', `${STEP_FOLDER}/${name}.mjs`]

/** The step that a container command starts, or undefined for other people's images. */
export function stepOfCommand(command: readonly string[]): string | undefined {
  const match =
    command[0] === 'node' ? /^\/opt\/shared-workspace\/steps\/([a-z-]+)\.mjs$/.exec(command[1] ?? '') : null
  return match?.[1]
}
