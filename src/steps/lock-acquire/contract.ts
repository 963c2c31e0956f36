import { defineStep, param } from '../../contract.ts'
import { duration, oneOf, optionalDuration } from '../../schemas.ts'
import { LOCK_BACKEND, LOCK_MODE, LOCK_NAME, LOCK_PRIORITY } from '../lock-params.ts'

export const contract = defineStep({
  name: 'lock-acquire',
  version: '0.1',
  displayName: 'Acquire a lock on the shared workspace',
  summary: 'Acquires a lock, so that one run or task at a time, or only so many, do something.',
  description: `The lock outlives this step: release it with \`lock-release\`, from a Pipeline in \`finally\`. Those who
wait are served in the order in which they came.

A run that is cancelled may never reach its release. Others take the lock over once the Kubernetes API says that
its owner is finished or deleted **and** that no pod of it is left running, or once one of them has watched it
being held for longer than its \`maxHold\`. Where neither can be told, the lock is not taken from anybody.

An \`exclusive\` lock has one holder. Any number may hold it as \`shared\` at the same time, to read what exclusive
holders write; up to \`limit\` may as \`counting\`. Nobody is overtaken: who asks for a shared hold waits behind an
exclusive one that waits. Holds that count up to different limits exclude each other.

Every hold has an epoch, a number that only grows. Pass it to \`lock-release\`; a hold that was taken over
meanwhile is then an error there, not a surprise. Pass \`<name>@<epoch>\` of an exclusive hold as \`fence\` to what
publishes under the lock; once the hold was taken over, nobody sees what it publishes late.

A task that repeats the step keeps its hold; a retry of the task gets it with a new epoch. Other tasks of the same
run have to wait like everybody else.

With the policy \`skip\`, guard what needs the lock, and the release:

    when:
      - input: $(tasks.acquire.results.epoch)
        operator: notin
        values: [""]`,
  categories: ['Storage', 'Automation'],
  tags: ['workspace', 'lock', 'mutex'],
  params: {
    name: LOCK_NAME,
    ...LOCK_MODE,
    policy: param(
      oneOf(['wait', 'skip', 'fail']),
      'What to do while another holds the lock: `wait` for it until `timeout`, `skip` (succeed without it, with an empty `epoch`), or `fail` at once.',
      'wait',
    ),
    timeout: param(
      duration,
      'How long to wait, such as 90s, 10m or 1h30m. Keep it under the timeout of the task.',
      '10m',
    ),
    scope: param(
      oneOf(['run', 'task']),
      'What the hold ends with if nobody releases it: `run`, the PipelineRun, so that another task can release it; `task`, this TaskRun.',
      { task: 'run', stepAction: 'task' },
    ),
    maxHold: param(
      optionalDuration,
      'The longest time that this hold may last. Others take the lock over after it **even if the holder still works**; only time that they have watched counts. Needed where the API cannot be asked; 10m suits downloads. Empty: no limit.',
      '',
    ),
    backend: LOCK_BACKEND,
    priority: LOCK_PRIORITY,
  },
  results: {
    epoch: {
      description: 'The number of this hold. Empty if `policy` is `skip` and the lock was not to be had.',
    },
    holder: { description: 'Who holds the lock now: this run or task, or the other one if it was skipped.' },
    'waited-ms': { description: 'How long it took, in milliseconds.' },
  },
  workspaces: {
    shared: { description: 'The shared volume. Not needed for the backend `lease`.', optional: true },
  },
  configuration: ['LOCK_BACKEND'],
  errors: [
    'LOCK_NOT_ACQUIRED',
    'LIVENESS_UNKNOWN',
    'LOCK_DAMAGED',
    'LOCK_BACKEND_UNAVAILABLE',
    'STORAGE_UNSAFE',
  ],
  resources: { requests: { cpu: '10m', memory: '64Mi' }, limits: { cpu: '500m', memory: '256Mi' } },
  api: 'Asks whether its own run, and whoever holds the lock or waits ahead, is alive: get on pipelineruns and taskruns, list on pods; for the backend `lease` also get, list, create, update and patch on leases. Without the right to ask, and without `maxHold`, it refuses to acquire.',
  sample: { name: 'deploy-staging', timeout: '15m' },
})
