import { defineStep, param } from '../../contract.ts'
import { names, text } from '../../schemas.ts'

export const contract = defineStep({
  name: 'workspace-init',
  version: '0.1',
  displayName: 'Initialise a run on the shared workspace',
  summary: 'Makes the folders of a run on a shared volume and records what the volume can do.',
  description: `Makes \`pipelines/<run-id>/\` with \`workspace-content\`, \`agent-artifacts\`, \`metadata\` and
\`final-output\`, all at once, and an alias \`by-name/<namespace>.<run>\`. A second call for the same run changes
nothing. The first call on a volume also makes its marker and probes how the file system behaves.`,
  categories: ['Storage', 'Automation'],
  tags: ['workspace', 'shared-volume', 'rwx'],
  params: {
    template: param(
      text,
      'Start workspace-content from this template: `<name>` or `<name>@<digest>`. With the workspace `template` bound, its content is kept under this name first.',
      '',
    ),
    agents: param(
      names,
      'Agents that get a private folder `agents/<name>` and `agent-artifacts/<name>` in the run, separated by commas.',
      '',
    ),
  },
  results: {
    'run-path': { description: 'The folder of the run, relative to the workspace: `pipelines/<run-id>`.' },
    'run-id': { description: 'The uid of the PipelineRun, or of the TaskRun or Pod where there is none.' },
    'volume-id': { description: 'The id of the volume, from its marker.' },
  },
  workspaces: {
    shared: { description: 'The shared volume.' },
    template: {
      description: 'A folder to keep as the template and to start from.',
      optional: true,
      readOnly: true,
    },
  },
  errors: ['STORAGE_UNSAFE', 'FORMAT_UNSUPPORTED', 'SOURCE_NOT_FOUND'],
  resources: { requests: { cpu: '20m', memory: '64Mi' }, limits: { cpu: '1', memory: '256Mi' } },
  sample: { agents: 'writer,reviewer' },
})
