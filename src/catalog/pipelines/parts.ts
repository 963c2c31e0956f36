/** Small builders for the pipelines' tasks. */
import { workspaceParam, type StepContract } from '../../contract.ts'
import { SECURITY_CONTEXT } from '../step.ts'

export const SHARED = '$(workspaces.shared.path)'
export const BIND_SHARED = [{ name: 'shared', workspace: 'shared' }]
const SCRIPT_RESOURCES = { requests: { cpu: '50m', memory: '64Mi' }, limits: { cpu: '1', memory: '512Mi' } }

const pairs = (values: Record<string, string | string[]>) =>
  Object.entries(values).map(([name, value]) => ({ name, value }))

/** A whole task that is one of the product's Tasks. */
export const taskRef = (contract: StepContract, params: Record<string, string | string[]> = {}) => ({
  taskRef: { name: contract.name },
  params: pairs(params),
  workspaces: BIND_SHARED,
})

/** A step that is one of the product's StepActions, on the workspace `shared`. */
export const stepRef = (name: string, contract: StepContract, params: Record<string, string | string[]>) => ({
  name,
  ref: { name: contract.name },
  params: pairs({ [workspaceParam('shared')]: SHARED, ...params }),
  computeResources: contract.resources,
})

/** A step of a script, in the pod's own folder; values reach it by env. */
export const scriptStep = (name: string, env: Record<string, string>, script: string) => ({
  name,
  image: '$(params.image)',
  workingDir: '/workspace',
  env: pairs(env),
  computeResources: SCRIPT_RESOURCES,
  securityContext: SECURITY_CONTEXT,
  script,
})

/** A task of several steps. `params` maps the names its steps use to what the pipeline gives. */
export const taskSpec = (
  params: Record<string, string | string[]>,
  steps: object[],
  results: { name: string; description: string; value: string }[] = [],
) => ({
  params: pairs(params),
  workspaces: BIND_SHARED,
  taskSpec: {
    params: Object.entries(params).map(([name, value]) => ({
      name,
      type: Array.isArray(value) ? 'array' : 'string',
    })),
    workspaces: [{ name: 'shared' }],
    ...(results.length > 0 ? { results } : {}),
    steps,
  },
})

/** What a task tells of the artifact that its step `store` stored. */
export const STORED = [
  {
    name: 'artifact',
    description: 'What was stored: uri@digest.',
    value: '$(steps.store.results.artifact)',
  },
  { name: 'size', description: 'Its bytes.', value: '$(steps.store.results.size)' },
]
