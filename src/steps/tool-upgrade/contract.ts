import { defineStep, param } from '../../contract.ts'
import { duration, flag, oneOf, orNone } from '../../schemas.ts'
import { toolName, toolVersion } from '../../tools/layout.ts'
import { fleetName } from '../../upgrades/format.ts'
import { maxUnavailable } from '../../upgrades/max-unavailable.ts'

export const contract = defineStep({
  name: 'tool-upgrade',
  version: '0.1',
  displayName: 'Upgrade the workers of a tool',
  summary: 'Takes a fleet of workers from one version of a shared tool to another, a few at a time.',
  description: `A fleet is all workers of one tool that run under a \`tool-agent\` on the shared volume. This step leads
them: it verifies the version, calls all agents, and tells at most \`maxUnavailable\` of them at a time to stop the old
version and to start the new one. The next ones follow when those say, by their own health checks, that they are
healthy. Workers that are not healthy anyhow go first; agents that do not answer count as unavailable.

One whose worker fails on the new version, or that does not answer in time, halts the upgrade. Then all go back to the
version before, as many at a time, and the step fails. A step that was killed or cancelled leaves the fleet as it is:
the next one with the same version goes on. One step at a time leads a fleet, under the lock \`fleet.<fleet>\`.

\`mode: roll-back\` takes the fleet back to the version before; \`mode: status\` changes nothing and prints who is on what.`,
  categories: ['Storage', 'Automation'],
  tags: ['workspace', 'tools', 'upgrade'],
  params: {
    fleet: param(fleetName, 'The fleet, as its agents name it.'),
    tool: param(toolName, 'The tool that it runs.'),
    version: param(
      orNone(toolVersion),
      'The version to go to, which is installed. Needed for `mode: upgrade`.',
      '',
    ),
    mode: param(
      oneOf(['upgrade', 'roll-back', 'status']),
      'What to do: `upgrade`, `roll-back` to the version before, or only print the `status`.',
      'upgrade',
    ),
    maxUnavailable: param(
      maxUnavailable,
      'How many workers may be away at a time: a number, or a part of the fleet such as `20%`, rounded down but at least one.',
      '1',
    ),
    rollBack: param(flag, 'Whether all go back by themselves where the upgrade is halted.', 'true'),
    timeout: param(
      duration,
      'How long to wait while another leads the fleet, such as 90s, 10m or 1h30m.',
      '10m',
    ),
    format: param(oneOf(['text', 'json']), 'How to print the status: text or json.', 'text'),
  },
  results: {
    phase: {
      description: 'How it ended: `done`, `rolled-back` or `halted`; for `mode: status`, what it is.',
    },
    from: { description: 'The version before.' },
    to: { description: 'The version that was to be.' },
    upgraded: { description: 'How many workers are healthy on that version.' },
    failed: { description: 'Who failed or did not answer: up to ten names, separated by commas.' },
  },
  workspaces: { shared: { description: 'The shared volume.' } },
  configuration: ['LOCK_BACKEND'],
  errors: [
    'SERVICE_FAILED',
    'UPGRADE_TIMED_OUT',
    'UPGRADE_HALTED',
    'TOOL_NOT_INSTALLED',
    'DIGEST_MISMATCH',
    'LOCK_NOT_ACQUIRED',
    'LOCK_LOST',
    'STALE_LOCK',
    'LOCK_DAMAGED',
    'LOCK_BACKEND_UNAVAILABLE',
    'STORAGE_UNSAFE',
    'UNSAFE_PATH',
  ],
  resources: { requests: { cpu: '50m', memory: '64Mi' }, limits: { cpu: '1', memory: '256Mi' } },
  api: 'Asks whether silent agents, and whoever leads the fleet, are alive: get on pods, pipelineruns and taskruns, list on pods. Without the right to ask, a pod that is gone counts as a silent one.',
  sample: { fleet: 'probes', tool: 'blackbox_exporter', version: '0.25.0' },
})
