import { LOCK_BACKENDS } from '../../configuration.ts'
import { defineStep, param } from '../../contract.ts'
import { name, oneOf, orNone, text, wholeNumber } from '../../schemas.ts'
import * as z from '../../zod.ts'

const epoch = orNone(
  wholeNumber('the epoch that lock-acquire gave, a whole number', 1, Number.MAX_SAFE_INTEGER),
)

export const contract = defineStep({
  name: 'lock-release',
  version: '0.1',
  displayName: 'Release a lock on the shared workspace',
  summary: 'Releases a lock that lock-acquire acquired, or ends by force a hold that is in the way.',
  description: `Only the owner can: any task of the run where the lock was acquired with scope \`run\`, the task itself
where it was \`task\`. Releasing twice is no error. Releasing a hold that was taken over meanwhile is \`STALE_LOCK\`:
another may have worked at the same time.

After a cancel or a timeout, a step that ignores SIGTERM works on for up to 30 seconds. The lock is kept until the pods
of the run that were told to stop have stopped. Put it in \`finally\`, so that it comes after a failure too; what a
cancelled run does not release is taken over by the next one.

With \`force\`, it ends somebody else's hold, although that may still work: first make sure that it does not. What it
publishes with a \`fence\` is refused from then on. The ticket is printed by workspace-status with its parameter
\`lock\`; the \`reason\` stays in the lock's log. A waiter that is forced out queues again, as the last, if it still
lives: cancel its run to be rid of it.`,
  categories: ['Storage', 'Automation'],
  tags: ['workspace', 'lock', 'mutex'],
  params: {
    name: param(name, 'The name of the lock.'),
    force: param(
      orNone(z.uuid('expected the ticket of a holder or waiter, a uuid')),
      'The ticket whose hold, or wait, ends: whoever has it. Empty: release a hold of this run or task.',
      '',
    ),
    reason: param(text, 'Why, for people. Needed with `force`.', ''),
    epoch: param(
      epoch,
      'Which hold: the result `epoch` of lock-acquire. Empty: whichever this run or task holds, which can be the hold of a sibling task.',
      '',
    ),
    backend: param(
      orNone(oneOf(LOCK_BACKENDS)),
      'Where the lock lives, as for lock-acquire: `volume` or `lease`. Empty: as the namespace is configured, else `volume`.',
      '',
    ),
  },
  results: {
    epoch: {
      description: 'The number of the hold that is released now. Empty where `force` named a waiter.',
    },
    holder: { description: 'Whose hold it was.' },
  },
  workspaces: {
    shared: { description: 'The shared volume. Not needed for the backend `lease`.', optional: true },
  },
  configuration: ['LOCK_BACKEND'],
  errors: ['LOCK_NOT_HELD', 'STALE_LOCK', 'LOCK_DAMAGED', 'LOCK_BACKEND_UNAVAILABLE'],
  resources: { requests: { cpu: '10m', memory: '64Mi' }, limits: { cpu: '500m', memory: '256Mi' } },
  api: 'Asks which pods of the run were told to stop and still run; without the right to, it warns and releases at once. For the backend `lease`: get, update and patch on leases.',
  sample: { name: 'deploy-staging' },
})
