import type { StepContract } from '../contract.ts'
import { commandInImage, imageParam } from './command-in-image.ts'
import { catalogDescription, catalogMetadata } from './metadata.ts'
import type { Settings } from './settings.ts'
import { stepContainer, stepParams, stepResults } from './step.ts'
import type { Task } from './tekton/types.generated.ts'

/** The Task form of a step: a pod of its own, with the volume as a workspace. */
export function taskOf(contract: StepContract, settings: Settings): Task {
  return {
    apiVersion: 'tekton.dev/v1',
    kind: 'Task',
    metadata: catalogMetadata(contract),
    spec: {
      displayName: contract.displayName,
      description: catalogDescription(contract.summary, contract.description),
      params: [...stepParams(contract, 'task'), ...(contract.commandInImage ? [imageParam(settings)] : [])],
      workspaces: Object.entries(contract.workspaces).map(([name, workspace]) => ({ name, ...workspace })),
      results: stepResults(contract),
      ...(contract.commandInImage
        ? commandInImage(contract, settings)
        : {
            steps: [
              {
                name: contract.name,
                ...stepContainer(contract, 'task', settings),
                computeResources: contract.resources,
              },
            ],
          }),
    },
  }
}
