import { waitFor } from '../base/wait.ts'
import { kubectl } from '../native/kubectl.ts'
import { tektonManifests } from './manifests.ts'

export const TEKTON_NAMESPACES = ['tekton-pipelines', 'tekton-pipelines-resolvers'] as const

export async function installTekton(): Promise<void> {
  const list = { apiVersion: 'v1', kind: 'List', items: await tektonManifests() }
  await kubectl(['apply', '--server-side', '--force-conflicts', '--filename=-'], JSON.stringify(list))
}

/** Ready means that a Task passes the webhooks, which is later than that the pods are ready. */
export async function waitForTekton(timeoutMs = 180_000): Promise<void> {
  const wait = ['wait', '--for=condition=Available', 'deployment', '--all', `--timeout=${timeoutMs / 1000}s`]
  await Promise.all(TEKTON_NAMESPACES.map((namespace) => kubectl([...wait, `--namespace=${namespace}`])))
  const fix = 'look at: kubectl -n tekton-pipelines logs deploy/tekton-pipelines-webhook'
  await waitFor(acceptsTasks, { what: "Tekton's webhooks", timeoutMs: 60_000, everyMs: 500, fix })
}

async function acceptsTasks(): Promise<boolean> {
  const step = { name: 'a', image: 'registry.local/none:1', command: ['true'] }
  const task = {
    apiVersion: 'tekton.dev/v1',
    kind: 'Task',
    metadata: { name: 'webhook-check', namespace: 'default' },
    spec: { steps: [step] },
  }
  await kubectl(['create', '--dry-run=server', '--filename=-'], JSON.stringify(task))
  return true
}
