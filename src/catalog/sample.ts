/** A small TaskRun for each step, as the README shows and the tests admit. */
import { workspaceParam, type StepContract } from '../contract.ts'
import { SERVICE_ACCOUNT } from './names.ts'
import type { Settings } from './settings.ts'
import type { Form } from './step.ts'

/** A pod that the restricted Pod Security Standard admits. The group owns the volume, whoever runs. */
export const POD_TEMPLATE = {
  securityContext: {
    runAsNonRoot: true,
    runAsUser: 65532,
    fsGroup: 65532,
    fsGroupChangePolicy: 'OnRootMismatch',
    seccompProfile: { type: 'RuntimeDefault' },
  },
}

export function sampleTaskRun(contract: StepContract, form: Form, { claim: claimName }: Settings): object {
  const params = Object.entries(contract.sample).map(([name, value]) => ({ name, value }))
  const shared = { name: 'shared', persistentVolumeClaim: { claimName } }
  const spec =
    form === 'task'
      ? { taskRef: { name: contract.name }, params }
      : {
          taskSpec: {
            workspaces: [{ name: 'shared' }],
            steps: [
              {
                name: contract.name,
                ref: { name: contract.name },
                params: [{ name: workspaceParam('shared'), value: '$(workspaces.shared.path)' }, ...params],
                computeResources: contract.resources,
              },
            ],
          },
        }
  return {
    apiVersion: 'tekton.dev/v1',
    kind: 'TaskRun',
    metadata: { generateName: `${contract.name}-` },
    spec: { serviceAccountName: SERVICE_ACCOUNT, podTemplate: POD_TEMPLATE, ...spec, workspaces: [shared] },
  }
}
