import { workspaceParam, type StepContract } from '../contract.ts'
import { catalogDescription, catalogMetadata } from './metadata.ts'
import type { Settings } from './settings.ts'
import { stepContainer, stepParams, stepResults } from './step.ts'
import type { StepAction } from './tekton/types.generated.ts'

/** The StepAction form: a step in a user's own pod. It has no workspaces, so their paths are parameters. */
export function stepActionOf(contract: StepContract, settings: Settings): StepAction {
  return {
    apiVersion: 'tekton.dev/v1beta1',
    kind: 'StepAction',
    metadata: catalogMetadata(contract),
    spec: {
      description: catalogDescription(contract.summary, contract.description),
      params: [
        ...Object.entries(contract.workspaces).map(([name, { description, optional }]) => ({
          name: workspaceParam(name),
          type: 'string',
          description: `${description} Pass \`$(workspaces.<name>.path)\`.`,
          ...(optional ? { default: '' } : {}),
        })),
        ...stepParams(contract, 'stepAction'),
      ],
      results: stepResults(contract),
      ...stepContainer(contract, 'stepAction', settings),
    },
  }
}
