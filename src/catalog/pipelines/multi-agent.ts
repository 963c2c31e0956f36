import { contract as artifactRetrieve } from '../../steps/artifact-retrieve/contract.ts'
import { contract as artifactStore } from '../../steps/artifact-store/contract.ts'
import { contract as workspaceArchive } from '../../steps/workspace-archive/contract.ts'
import { contract as workspaceInit } from '../../steps/workspace-init/contract.ts'
import { contract as workspaceStatus } from '../../steps/workspace-status/contract.ts'
import { catalogDescription, catalogMetadata } from '../metadata.ts'
import type { Settings } from '../settings.ts'
import type { Pipeline } from '../tekton/types.generated.ts'
import { AGENT } from './scripts.ts'
import { SHARED, scriptStep, stepRef, STORED, taskRef, taskSpec } from './parts.ts'

export const MULTI_AGENT = {
  name: 'multi-agent',
  version: '0.1',
  displayName: 'Many agents on one run',
  categories: ['Storage', 'Automation'],
  tags: ['workspace', 'agents', 'matrix'],
  summary:
    'Several agents work side by side in one run, each with its own folder and status; a collector gathers what they made.',
}

const RUN_PATH = '$(tasks.init.results.run-path)'
const artifacts = `${SHARED}/$(params.runPath)/agent-artifacts/$(params.agent)`

export function multiAgentPipeline({ image }: Settings): Pipeline {
  return {
    apiVersion: 'tekton.dev/v1',
    kind: 'Pipeline',
    metadata: catalogMetadata(MULTI_AGENT),
    spec: {
      displayName: MULTI_AGENT.displayName,
      description: catalogDescription(
        MULTI_AGENT.summary,
        `\`init\` makes the run's folders, a matrix runs \`agent\` once for each name, \`collect\` gathers the agents'
artifacts into final-output, and \`archive\` closes the run.`,
      ),
      params: [
        {
          name: 'agents',
          type: 'array',
          description: "The agents' names.",
          default: ['analyst', 'writer', 'reviewer'],
        },
        {
          name: 'agentCommand',
          type: 'string',
          description:
            "A shell command, run in the agent's private folder with AGENT, RUN_ID, CONTENT and ARTIFACTS in its environment. Default: each writes a short report.",
          default: '',
        },
        {
          name: 'image',
          type: 'string',
          description: 'The image of the agents: needs sh and what agentCommand calls.',
          default: image,
        },
      ],
      workspaces: [{ name: 'shared', description: 'The shared volume.' }],
      tasks: [
        { name: 'init', ...taskRef(workspaceInit) },
        {
          name: 'agent',
          matrix: { params: [{ name: 'agent', value: ['$(params.agents[*])'] }] },
          ...agent(),
        },
        { name: 'collect', ...collect() },
      ],
      finally: [{ name: 'archive', ...taskRef(workspaceArchive, { status: '$(tasks.status)' }) }],
      results: [
        {
          name: 'run-path',
          type: 'string',
          description: 'The folder of the run while it ran.',
          value: RUN_PATH,
        },
        {
          name: 'archive-path',
          type: 'string',
          description: 'Where the run is now.',
          value: '$(finally.archive.results.archive-path)',
        },
      ],
    },
  }
}

function agent() {
  const {
    params,
    taskSpec: spec,
    workspaces,
  } = taskSpec(
    {
      image: '$(params.image)',
      command: '$(params.agentCommand)',
      runPath: RUN_PATH,
      runId: '$(tasks.init.results.run-id)',
    },
    [
      stepRef('start', workspaceStatus, { phase: 'Running', agent: '$(params.agent)' }),
      scriptStep(
        'work',
        {
          AGENT: '$(params.agent)',
          AGENT_COMMAND: '$(params.command)',
          RUN_ID: '$(params.runId)',
          CONTENT: `${SHARED}/$(params.runPath)/workspace-content`,
          ARTIFACTS: artifacts,
          AGENT_FOLDER: `${SHARED}/agents/$(params.agent)`,
        },
        AGENT,
      ),
      stepRef('store', artifactStore, { path: artifacts, output: 'report' }),
      stepRef('finish', workspaceStatus, { phase: 'Succeeded', agent: '$(params.agent)' }),
    ],
    STORED,
  )
  return {
    params,
    workspaces,
    taskSpec: { ...spec, params: [...spec.params, { name: 'agent', type: 'string' }] },
  }
}

const collect = () =>
  taskSpec({ runPath: RUN_PATH, artifacts: ['$(tasks.agent.results.artifact[*])'] }, [
    stepRef('collect', artifactRetrieve, {
      artifacts: ['$(params.artifacts[*])'],
      path: `${SHARED}/$(params.runPath)/final-output`,
    }),
  ])
