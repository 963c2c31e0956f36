/**
 * What the runner reads of Tekton's objects. Every object is strict: a field that is not here is an error that
 * names it, since to ignore it might change what a pipeline does. `pointless` are fields that mean nothing to a
 * process on this machine: for people, or for the pod and the image that there is none of.
 */
import * as z from 'zod'

const pointless = z.unknown().optional()
const strings = z.array(z.string())

/** As Tekton reads values: numbers and booleans are texts. */
const text = z.union([z.string(), z.number().transform(String), z.boolean().transform(String)])
const value = z.union([text, z.array(text), z.record(z.string(), text)], {
  error: 'expected a text, a list of texts or a map of texts',
})

/** A duration as Go writes it; 0 is none. */
const duration = z.string().transform((written, context) => {
  const units: Record<string, number> = { ms: 1, s: 1e3, m: 6e4, h: 3.6e6 }
  const parts = [...written.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h)/g)]
  const whole = written === '0' || (written !== '' && parts.map((part) => part[0]).join('') === written)
  if (whole) return parts.reduce((sum, part) => sum + Number(part[1]) * (units[part[2] ?? ''] ?? 0), 0)
  context.addIssue({ code: 'custom', message: 'expected a duration such as 90s, 10m or 1h30m' })
  return z.NEVER
})

const Type = z.enum(['string', 'array', 'object'])
const properties = z.record(z.string(), z.strictObject({ type: z.literal('string').optional() })).optional()

const ParamSpec = z.strictObject({
  name: z.string(),
  type: Type.optional(),
  default: value.optional(),
  properties,
  description: pointless,
})
const Param = z.strictObject({ name: z.string(), value })
const ResultSpec = z.strictObject({
  name: z.string(),
  type: Type.optional(),
  properties,
  value: value.optional(),
  description: pointless,
})

const KeyRef = z.strictObject({ name: z.string(), key: z.string(), optional: z.boolean().optional() })
const EnvVar = z.strictObject({
  name: z.string(),
  value: text.optional(),
  valueFrom: z
    .strictObject({
      fieldRef: z.strictObject({ fieldPath: z.string(), apiVersion: pointless }).optional(),
      configMapKeyRef: KeyRef.optional(),
      secretKeyRef: KeyRef.optional(),
    })
    .optional(),
})
const VolumeMount = z.strictObject({ name: z.string(), mountPath: z.string(), readOnly: pointless })

/** What a step, a step template and a StepAction have in common. */
const program = {
  command: strings.optional(),
  args: z.array(text).optional(),
  env: z.array(EnvVar).optional(),
  workingDir: z.string().optional(),
  volumeMounts: z.array(VolumeMount).optional(),
  image: pointless,
  imagePullPolicy: pointless,
  securityContext: pointless,
  computeResources: pointless,
}

/** A resolver of another kind fails at `resolver`; the cluster's name and kind are read in catalog.ts. */
const ref = {
  name: z.string().optional(),
  resolver: z.literal('cluster', 'only the resolver "cluster" is supported by the local runner').optional(),
  params: z.array(Param).optional(),
}

const Step = z.strictObject({
  ...program,
  name: z.string().optional(),
  displayName: pointless,
  script: z.string().optional(),
  ref: z.strictObject(ref).optional(),
  params: z.array(Param).optional(),
  results: z.array(ResultSpec).optional(),
  onError: z.enum(['continue', 'stopAndFail']).optional(),
  timeout: duration.optional(),
})

const TaskSpec = z.strictObject({
  displayName: pointless,
  description: pointless,
  metadata: pointless,
  params: z.array(ParamSpec).default([]),
  results: z.array(ResultSpec).default([]),
  workspaces: z
    .array(
      z.strictObject({
        name: z.string(),
        optional: z.boolean().optional(),
        mountPath: z.string().optional(),
        readOnly: pointless,
        description: pointless,
      }),
    )
    .default([]),
  volumes: z
    .array(
      z.strictObject({
        name: z.string(),
        emptyDir: z.strictObject({ medium: pointless, sizeLimit: pointless }),
      }),
    )
    .default([]),
  stepTemplate: z.strictObject(program).default({}),
  steps: z.array(Step).min(1, 'expected at least one step'),
  sidecars: z
    .array(z.strictObject({ ...program, name: z.string(), script: z.string().optional() }))
    .default([]),
})

const PipelineTask = z.strictObject({
  name: z.string(),
  displayName: pointless,
  description: pointless,
  taskRef: z.strictObject({ ...ref, kind: z.literal('Task').optional(), apiVersion: pointless }).optional(),
  taskSpec: TaskSpec.optional(),
  runAfter: strings.default([]),
  params: z.array(Param).default([]),
  matrix: z
    .strictObject({
      params: z.array(Param).default([]),
      include: z
        .array(
          z.strictObject({
            name: pointless,
            params: z.array(z.strictObject({ name: z.string(), value: text })),
          }),
        )
        .default([]),
    })
    .optional(),
  when: z
    .array(z.strictObject({ input: text, operator: z.enum(['in', 'notin']), values: z.array(text).min(1) }))
    .default([]),
  workspaces: z
    .array(
      z.strictObject({ name: z.string(), workspace: z.string().optional(), subPath: z.string().optional() }),
    )
    .default([]),
  retries: z.number().int().min(0).default(0),
  timeout: duration.optional(),
  onError: z.enum(['continue', 'stopAndFail']).optional(),
})

const PipelineSpec = z.strictObject({
  displayName: pointless,
  description: pointless,
  params: z.array(ParamSpec).default([]),
  workspaces: z
    .array(z.strictObject({ name: z.string(), optional: z.boolean().optional(), description: pointless }))
    .default([]),
  tasks: z.array(PipelineTask).min(1, 'expected at least one task'),
  finally: z.array(PipelineTask).default([]),
  results: z.array(ResultSpec.required({ value: true })).default([]),
})

/** A run's claim, secret, … is stood for by the folder of `--workspace`; an emptyDir needs none. */
const RunWorkspace = z.looseObject({
  name: z.string(),
  subPath: z.string().optional(),
  emptyDir: z.unknown().optional(),
})
const run = { params: z.array(Param).default([]), workspaces: z.array(RunWorkspace).default([]) }
const named = z.strictObject({ name: z.string(), kind: pointless, apiVersion: pointless })

const object = <K extends string, S extends z.ZodType>(kind: K, spec: S, apiVersion = 'tekton.dev/v1') =>
  z.strictObject({
    apiVersion: z.literal(apiVersion),
    kind: z.literal(kind),
    metadata: z.looseObject({ name: z.string().optional(), generateName: z.string().optional() }),
    spec,
    status: pointless,
  })

/** The kinds that a file may hold. */
export const Documents = {
  Pipeline: object('Pipeline', PipelineSpec),
  Task: object('Task', TaskSpec),
  StepAction: object(
    'StepAction',
    z.strictObject({
      ...program,
      description: pointless,
      script: z.string().optional(),
      params: z.array(ParamSpec).default([]),
      results: z.array(ResultSpec).default([]),
    }),
    'tekton.dev/v1beta1',
  ),
  PipelineRun: object(
    'PipelineRun',
    z.strictObject({
      ...run,
      pipelineRef: named.optional(),
      pipelineSpec: PipelineSpec.optional(),
      timeouts: z
        .strictObject({
          pipeline: duration.optional(),
          tasks: duration.optional(),
          finally: duration.optional(),
        })
        .optional(),
      taskRunTemplate: pointless,
    }),
  ),
  TaskRun: object(
    'TaskRun',
    z.strictObject({
      ...run,
      taskRef: named.optional(),
      taskSpec: TaskSpec.optional(),
      retries: z.number().int().min(0).optional(),
      timeout: duration.optional(),
      serviceAccountName: pointless,
      podTemplate: pointless,
      computeResources: pointless,
    }),
  ),
}

export type Kind = keyof typeof Documents
export type Document = { [K in Kind]: z.infer<(typeof Documents)[K]> }[Kind]
export type TaskSpec = z.infer<typeof TaskSpec>
export type Step = z.infer<typeof Step>
export type ResultSpec = z.infer<typeof ResultSpec>
export type EnvVar = z.infer<typeof EnvVar>
export type ParamSpec = z.infer<typeof ParamSpec>
export type Param = z.infer<typeof Param>
export type PipelineTask = z.infer<typeof PipelineTask>
export type PipelineSpec = z.infer<typeof PipelineSpec>
export type StepAction = z.infer<(typeof Documents)['StepAction']>['spec']
export type Ref = { [K in keyof typeof ref]?: z.infer<(typeof ref)[K]> }
export type Type = z.infer<typeof Type>
