import type { ParamDefinition, StepContract } from '../../contract.ts'
import { contract as toolInstall } from '../../steps/tool-install/contract.ts'
import { contract as toolUpgrade } from '../../steps/tool-upgrade/contract.ts'
import { EXAMPLE } from '../fleet.ts'
import { catalogDescription, catalogMetadata } from '../metadata.ts'
import { defaultOf } from '../step.ts'
import type { Pipeline } from '../tekton/types.generated.ts'
import { taskRef } from './parts.ts'

const TOOL_UPGRADE = {
  name: 'tool-upgrade',
  version: '0.1',
  displayName: 'Install a version of a tool and upgrade its workers',
  categories: ['Storage', 'Automation'],
  tags: ['workspace', 'tools', 'upgrade'],
  summary: 'Downloads a version of a tool once and takes a fleet of workers to it, a few at a time.',
}

/** What the Tasks are given, under the names that they have for it. */
const OF_INSTALL = ['urls', 'sha256', 'checksums', 'archive', 'strip', 'binaries', 'verify'] as const
const OF_UPGRADE = ['fleet', 'tool', 'version', 'maxUnavailable', 'rollBack'] as const

export function toolUpgradePipeline(): Pipeline {
  return {
    apiVersion: 'tekton.dev/v1',
    kind: 'Pipeline',
    metadata: catalogMetadata(TOOL_UPGRADE),
    spec: {
      displayName: TOOL_UPGRADE.displayName,
      description: catalogDescription(
        TOOL_UPGRADE.summary,
        `\`install\` is the Task tool-install, \`upgrade\` the Task tool-upgrade. The workers run under a \`tool-agent\`: see
docs/operators.md. Run it again to go on where it was stopped.`,
      ),
      params: [...paramsOf(toolUpgrade, OF_UPGRADE), ...paramsOf(toolInstall, OF_INSTALL)],
      workspaces: [{ name: 'shared', description: 'The shared volume.' }],
      tasks: [
        {
          name: 'install',
          ...taskRef(toolInstall, {
            name: '$(params.tool)',
            version: '$(params.version)',
            ...Object.fromEntries(OF_INSTALL.map((name) => [name, valueOf(toolInstall, name)])),
          }),
        },
        {
          name: 'upgrade',
          runAfter: ['install'],
          ...taskRef(
            toolUpgrade,
            Object.fromEntries(OF_UPGRADE.map((name) => [name, valueOf(toolUpgrade, name)])),
          ),
        },
      ],
      results: Object.entries(toolUpgrade.results).map(([name, { description }]) => ({
        name,
        type: 'string',
        description,
        value: `$(tasks.upgrade.results.${name})`,
      })),
    },
  }
}

/** For the fleet that is the example. */
export const sampleParams = (): { name: string; value: string | string[] }[] => {
  const { name, tool, version } = EXAMPLE
  const release = `https://github.com/prometheus/blackbox_exporter/releases/download/v${version}`
  return [
    { name: 'fleet', value: name },
    { name: 'tool', value: tool },
    { name: 'version', value: version },
    { name: 'urls', value: [`${release}/blackbox_exporter-${version}.linux-amd64.tar.gz`] },
    { name: 'checksums', value: `${release}/sha256sums.txt` },
    { name: 'strip', value: '1' },
    { name: 'verify', value: 'blackbox_exporter --version' },
  ]
}

const isArray = (contract: StepContract, name: string): boolean => contract.params[name]!.type === 'array'

const valueOf = (contract: StepContract, name: string): string | string[] =>
  isArray(contract, name) ? [`$(params.${name}[*])`] : `$(params.${name})`

function paramsOf(contract: StepContract, names: readonly string[]) {
  return names.map((name) => {
    const definition: ParamDefinition = contract.params[name]!
    // An upgrade that names no version is for mode: status alone.
    const fallback = name === 'version' ? undefined : defaultOf(definition, 'task')
    return {
      name,
      type: definition.type,
      description: definition.description,
      ...(fallback === undefined ? {} : { default: fallback }),
    }
  })
}
