import { defineStep, param } from '../../contract.ts'
import { duration, flag } from '../../schemas.ts'

export const contract = defineStep({
  name: 'workspace-cleanup',
  version: '0.1',
  displayName: 'Apply retention to the shared workspace',
  summary: 'Archives, trashes and purges what retention says, as a plan that can be looked at first.',
  description: `Makes a plan (what goes, why, how many bytes), prints it, and carries it out unless \`dryRun\` is set.
Everything goes through \`trash/\`, from which it can be moved back. Runs that are alive are never touched; without
an answer from the API an open run is only reported. What cannot be read or removed is left and named. The
maintenance CronJob runs this step every 6 hours.`,
  categories: ['Storage', 'Automation'],
  tags: ['workspace', 'retention', 'cleanup'],
  params: {
    dryRun: param(flag, 'Only print the plan.', 'false'),
    completedRetention: param(duration, 'How long archived runs stay in completed/.', '24h'),
    staleTimeout: param(
      duration,
      'How long a run that ended without closing may lie without a sign of life.',
      '6h',
    ),
    templateRetention: param(duration, 'How long a template stays unused.', '7d'),
    cacheRetention: param(duration, 'How long an entry of the shared cache stays unused.', '3d'),
    trashRetention: param(duration, 'How long what was trashed can be had back.', '24h'),
    grace: param(duration, 'Nothing that changed within this time is touched.', '1h'),
  },
  results: {
    removed: { description: 'How many things went to the trash or were purged from it.' },
    'freed-bytes': { description: 'How many bytes the purge gave back.' },
  },
  workspaces: { shared: { description: 'The shared volume.' } },
  errors: [],
  resources: { requests: { cpu: '50m', memory: '64Mi' }, limits: { cpu: '1', memory: '512Mi' } },
  api: 'Asks whether the runs on the volume are alive; without the right to, open runs are only reported.',
  sample: { dryRun: 'true' },
})
