import * as z from 'zod'
import { defineStep, param } from '../../contract.ts'
import { name, orNone } from '../../schemas.ts'

const epoch = orNone(
  z
    .string()
    .regex(/^[1-9]\d{0,14}$/, 'expected the epoch that lock-acquire gave, a whole number from 1')
    .transform(Number),
)

export const contract = defineStep({
  name: 'lock-release',
  version: '0.1',
  displayName: 'Release a lock on the shared workspace',
  summary: 'Releases a lock that lock-acquire acquired.',
  description: `Only the owner can: any task of the run where the lock was acquired with scope \`run\`, the task itself
where it was \`task\`. Releasing twice is no error. Releasing a hold that was taken over meanwhile is \`STALE_LOCK\`:
another may have worked at the same time.

After a cancel or a timeout, a step that ignores SIGTERM works on for up to 30 seconds. The lock is kept until the pods
of the run that were told to stop have stopped. Put it in \`finally\`, so that it comes after a failure too; what a
cancelled run does not release is taken over by the next one.`,
  categories: ['Storage', 'Automation'],
  tags: ['workspace', 'lock', 'mutex'],
  params: {
    name: param(name, 'The name of the lock.'),
    epoch: param(
      epoch,
      'Which hold: the result `epoch` of lock-acquire. Empty: whichever this run or task holds, which can be the hold of a sibling task.',
      '',
    ),
  },
  results: {
    epoch: { description: 'The number of the hold that is released now.' },
    holder: { description: 'Whose hold it was.' },
  },
  workspaces: { shared: { description: 'The shared volume.' } },
  errors: ['LOCK_NOT_HELD', 'STALE_LOCK', 'LOCK_DAMAGED'],
  resources: { requests: { cpu: '10m', memory: '64Mi' }, limits: { cpu: '500m', memory: '256Mi' } },
  api: 'Asks which pods of the run were told to stop and still run; without the right to, it warns and releases at once.',
  sample: { name: 'deploy-staging' },
})
