import { defineStep, param } from '../../contract.ts'
import { oneOf, optionalName, text } from '../../schemas.ts'
import { PHASES } from '../../volume/status.ts'

export const contract = defineStep({
  name: 'workspace-status',
  version: '0.1',
  displayName: 'Status of a run on the shared workspace',
  summary: 'Reads and sets the status of a run and of its agents.',
  description: `With \`lock\`, prints that lock instead: who holds it and since when, who waits in which place, and how its
last holds ended. Else it sets a phase where \`phase\` is given, then prints the whole status of the run: as lines for
people or as one JSON document (version 1). Statuses are only ever added, so no two tasks overwrite each other's.`,
  categories: ['Storage', 'Automation'],
  tags: ['workspace', 'status', 'agents'],
  params: {
    phase: param(oneOf(['', ...PHASES]), `The phase to set: ${PHASES.join(', ')}. Empty: only read.`, ''),
    agent: param(optionalName, "Set the status of this agent instead of the run's.", ''),
    message: param(text, 'A sentence for people, kept with the phase.', ''),
    lock: param(optionalName, "Print this lock instead of the run's status.", ''),
    run: param(optionalName, 'The id of the run. Empty: this run.', ''),
    format: param(oneOf(['text', 'json']), 'How to print the status or the lock: text or json.', 'text'),
  },
  results: {
    phase: {
      description:
        'The phase of the agent where one is named, else of the run, after this step. Empty where a lock is printed and no phase set.',
    },
  },
  workspaces: { shared: { description: 'The shared volume.' } },
  configuration: ['LOCK_BACKEND'],
  errors: ['RUN_NOT_FOUND', 'LOCK_DAMAGED'],
  resources: { requests: { cpu: '20m', memory: '64Mi' }, limits: { cpu: '500m', memory: '256Mi' } },
  sample: { phase: 'Running', agent: 'writer', message: 'drafting' },
})
