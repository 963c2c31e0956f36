import { arrayParam, defineStep, param } from '../../contract.ts'
import { duration, oneOf, text } from '../../schemas.ts'
import { LOCK_BACKEND, LOCK_MODE, LOCK_NAME, LOCK_PRIORITY } from '../lock-params.ts'

export const contract = defineStep({
  name: 'with-lock',
  version: '0.1',
  displayName: 'Run a command under a lock of the shared workspace',
  summary: 'Runs a command while it holds a lock, and stops the command if the lock is lost.',
  description: `Acquires the lock, runs the command, and releases the lock when the command has ended, however it ended.
Those who wait are served in the order in which they came. The step ends with the command's exit code.

While the command runs, the step beats on the volume every 10 seconds. A step whose beats stop for 60 seconds, because
its node is lost or the volume does not answer, loses the lock to whoever waits; so it stops its command before, after
40 seconds without a beat, and ends with \`LOCK_LOST\`. The same if somebody ends the hold by force. The command gets
SIGTERM, and 10 seconds later SIGKILL.

The command finds the lock's name in \`LOCK_NAME\`, the number of the hold, which only grows, in \`LOCK_EPOCH\`, and
both as \`<name>@<epoch>\` in \`LOCK_FENCE\`. SIGTERM and other signals reach it; the lock is released once it has ended.
What it starts ends with it, unless that leaves the command's process group. A step, task or run that was killed leaves
the lock to the next.

Give values to a script by \`args\`, where they are \`$1\`, \`$2\` and so on, rather than as text inside of it.`,
  categories: ['Storage', 'Automation'],
  tags: ['workspace', 'lock', 'mutex'],
  params: {
    name: LOCK_NAME,
    args: arrayParam(
      text,
      'The command and its arguments; where `script` is given, the arguments of the script.',
      [],
    ),
    script: param(
      text,
      'A script for `sh -e`, instead of a command. Kubernetes makes `$` of `$$` in it.',
      '',
    ),
    ...LOCK_MODE,
    policy: param(
      oneOf(['wait', 'skip', 'fail']),
      'What to do while another holds the lock: `wait` for it until `timeout`, `skip` (succeed without running the command, with an empty `epoch`), or `fail` at once.',
      'wait',
    ),
    timeout: param(
      duration,
      'How long to wait for the lock, such as 90s, 10m or 1h30m. Keep it under the timeout of the task.',
      '10m',
    ),
    backend: LOCK_BACKEND,
    priority: LOCK_PRIORITY,
    flock: param(
      text,
      'A file of the shared volume to hold by flock(2) as well, so that programs that flock it by themselves are excluded, too. Relative to the volume, or absolute; made where it is missing. Empty: none.',
      '',
    ),
  },
  results: {
    epoch: {
      description: 'The number of this hold. Empty if `policy` is `skip` and the lock was not to be had.',
    },
    holder: { description: 'Who held the lock: this task, or the other one if it was skipped.' },
    'waited-ms': { description: 'How long it took to get it, in milliseconds.' },
    'exit-code': { description: "The command's exit code, where it ran to its end under the lock." },
  },
  workspaces: {
    shared: {
      description: 'The shared volume. Not needed for the backend `lease` without `flock`.',
      optional: true,
    },
  },
  configuration: ['LOCK_BACKEND'],
  errors: [
    'LOCK_NOT_ACQUIRED',
    'LOCK_LOST',
    'LIVENESS_UNKNOWN',
    'LOCK_DAMAGED',
    'LOCK_BACKEND_UNAVAILABLE',
    'STORAGE_UNSAFE',
    'UNSAFE_PATH',
  ],
  resources: { requests: { cpu: '10m', memory: '64Mi' }, limits: { cpu: '1', memory: '512Mi' } },
  commandInImage: true,
  api: 'Asks whether whoever holds the lock or waits ahead is alive: get on pipelineruns and taskruns, list on pods; for the backend `lease` also get, list, create, update and patch on leases. Without the right to ask, it waits for the beats of the holder to stop.',
  sample: { name: 'deploy-staging', script: 'echo "deploying under $LOCK_FENCE"\n' },
})
