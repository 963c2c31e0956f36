import { defineStep, param } from '../../contract.ts'
import * as z from '../../zod.ts'
import { SWEEP_AFTER_MIN } from '../../retention/plan.ts'
import { bytes, duration, flag, optionalDuration } from '../../schemas.ts'

export const contract = defineStep({
  name: 'workspace-cleanup',
  version: '0.1',
  displayName: 'Apply retention to the shared workspace',
  summary: 'Archives, trashes and purges what retention says, as a plan that can be looked at first.',
  description: `Makes a plan (what goes, why, how many bytes), prints it, and carries it out unless \`dryRun\` is set.
Everything goes through \`trash/\`, from which it can be moved back. Runs that are alive are never touched; without
an answer from the API an open run is only reported. What cannot be read or removed is left and named.

Artifacts go through trash when they are old and their run is gone, but never the newest good one of a name, nor what
a file \`.pinned\` beside it keeps. Blobs that nothing refers to any more follow by mark and sweep. A scrub re-hashes a
part of the store in each run, moves damaged blobs to \`store/quarantine/\` and names the artifacts that they belong to;
the step does all its work first, and then fails with DIGEST_MISMATCH. The maintenance CronJob runs this step every 6
hours.`,
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
    artifactRetention: param(
      optionalDuration,
      'How long artifacts of runs that are gone stay. Empty for the days that the configuration says.',
      '',
    ),
    templateRetention: param(duration, 'How long a template stays unused.', '7d'),
    cacheRetention: param(duration, 'How long an entry of the shared cache stays unused.', '3d'),
    toolRetention: param(
      duration,
      'How long a version of a tool stays that no fleet is on, and a consumer of a fleet that is not heard of.',
      '7d',
    ),
    trashRetention: param(duration, 'How long what was trashed can be had back.', '24h'),
    sweepAfter: param(
      duration.check(
        z.minimum(SWEEP_AFTER_MIN, 'expected at least 1h: a store under way must not outlast it'),
      ),
      'How long nothing has referred to a blob before it is swept into trash, and again before it is purged. Longer than any task takes to store something.',
      '24h',
    ),
    scrubBytes: param(
      bytes,
      'How many bytes of the store to re-hash; the next call goes on where this one ends. 0 for none.',
      '10Gi',
    ),
    grace: param(duration, 'Nothing that changed within this time is touched.', '1h'),
  },
  results: {
    removed: { description: 'How many things went to the trash or were purged from it.' },
    'freed-bytes': { description: 'How many bytes the purge gave back.' },
    swept: { description: 'How many blobs that nothing refers to went to the trash.' },
    blocked: {
      description: 'How many things were left because they could not be read, moved or decided on.',
    },
  },
  workspaces: { shared: { description: 'The shared volume.' } },
  errors: ['DIGEST_MISMATCH'],
  configuration: ['ARTIFACT_CLEANUP_DAYS'],
  resources: { requests: { cpu: '50m', memory: '64Mi' }, limits: { cpu: '1', memory: '512Mi' } },
  api: 'Asks whether the runs on the volume are alive; without the right to, open runs are only reported.',
  sample: { dryRun: 'true' },
})
