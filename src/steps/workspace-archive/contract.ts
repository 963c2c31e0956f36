import { defineStep, param } from '../../contract.ts'
import { fence, oneOf, optionalName } from '../../schemas.ts'

export const contract = defineStep({
  name: 'workspace-archive',
  version: '0.1',
  displayName: 'Archive a run of the shared workspace',
  summary: 'Closes a run and moves it to completed/ once nothing of it is alive.',
  description: `For \`finally\`. Closes the run, and moves \`pipelines/<run-id>\` to \`completed/<date>/<run-id>\` at once
if nothing else of the run is alive or can still start; otherwise the next maintenance moves it. It can be killed
and repeated at any point.`,
  categories: ['Storage', 'Automation'],
  tags: ['workspace', 'archive', 'retention'],
  params: {
    status: param(
      oneOf(['Succeeded', 'Completed', 'Failed', 'None']),
      'How the tasks ended. Pass `$(tasks.status)` as a param of the task: Tekton replaces it there and not in the params of a step. Succeeded and Completed close the run as Succeeded, Failed as Failed, None as Cancelled.',
      'Succeeded',
    ),
    run: param(optionalName, 'The id of the run. Empty: this run.', ''),
    fence: param(
      fence,
      'The lock under which it is archived, `<lock>@<epoch>` with the epoch of an exclusive hold. Where the hold is over before the run is closed, or moved, that is left and is `STALE_LOCK`. Empty: none.',
      '',
    ),
  },
  results: {
    'archive-path': { description: 'Where the run is now, relative to the workspace.' },
    bytes: { description: 'The size of the run in bytes.' },
  },
  workspaces: { shared: { description: 'The shared volume.' } },
  configuration: ['LOCK_BACKEND'],
  errors: ['RUN_NOT_FOUND', 'NOT_WRITABLE', 'STALE_LOCK'],
  resources: { requests: { cpu: '20m', memory: '64Mi' }, limits: { cpu: '1', memory: '256Mi' } },
  api: 'Asks whether anything else of the run is alive; without the right to, the run is closed and left for maintenance.',
  sample: {},
})
