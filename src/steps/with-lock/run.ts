import { WorkspaceError } from '../../errors.ts'
import { withLock, type Held, type WithLockOptions } from '../../locks/index.ts'
import { forwardSignals, startChild } from '../../platform/child.ts'
import { monotonic } from '../../platform/clock.ts'
import { ownEnv, workingFolder } from '../../platform/host.ts'
import { openLocks } from '../locks.ts'
import type { StepContext, StepRun } from '../runtime.ts'
import type { contract } from './contract.ts'
import { takeFlock, type Flocked } from './flock.ts'

type Context = StepContext<typeof contract>

/** From SIGTERM to SIGKILL for a command whose lock is lost: within what is left of the heartbeat's ttl then. */
const LOST_GRACE_MS = 10_000

export const run: StepRun<typeof contract> = (context) => runWith(context)

/** `times` are for tests. */
export async function runWith(
  context: Context,
  times: Pick<WithLockOptions, 'tuning' | 'holding'> & { graceMs?: number } = {},
): ReturnType<StepRun<typeof contract>> {
  const { params, workspaces, identity, liveness, emit, signal, endWith } = context
  const startedAt = monotonic()
  const [command, ...args] = commandOf(params)
  if (params.flock && !workspaces.shared) throw nowhereToFlock()
  const locks = await openLocks(context, {
    acquires: true,
    ...(times.tuning ? { tuning: times.tuning } : {}),
  })
  const { name, mode, limit, policy, priority, timeout: timeoutMs } = params
  const left = (): number => Math.max(0, timeoutMs - (monotonic() - startedAt))
  const { graceMs = LOST_GRACE_MS, ...forTests } = times
  const options = { mode, limit, policy, priority, timeoutMs, identity, liveness, emit, signal, ...forTests }
  const done = await withLock(locks, name, options, async (held) => {
    const flocked = await flockFor(context, held, left)
    if (flocked === 'taken') return undefined
    try {
      return await runCommand(context, held, { command, args, flocked, graceMs })
    } finally {
      await flocked?.release()
    }
  })
  const exitCode = done.value
  const told = { holder: done.holder, 'waited-ms': done.waitedMs }
  if (!done.acquired || exitCode === undefined) return { ...told, epoch: '' }
  endWith(exitCode)
  return { ...told, epoch: done.epoch, 'exit-code': exitCode }
}

function commandOf({ script, args }: Context['params']): [string, ...string[]] {
  if (script) return ['sh', '-e', '-c', script, 'with-lock', ...args]
  const [command, ...more] = args
  if (command) return [command, ...more]
  throw new WorkspaceError('USAGE', 'there is nothing to run under the lock', {
    expected: 'a command in args, or a script',
    found: 'neither',
    hint: 'set args or script',
  })
}

const nowhereToFlock = (): WorkspaceError =>
  new WorkspaceError('USAGE', 'flock needs the volume', {
    expected: 'the workspace shared',
    found: 'a workspace that is not bound',
    hint: 'bind the workspace shared, or leave flock empty',
  })

/** The flock that the user wants beside the lock; `taken` where the policy is to skip and another has it. */
async function flockFor(
  { params: { name, flock: path, policy }, workspaces, emit, signal }: Context,
  held: Held,
  left: () => number,
): Promise<Flocked | undefined | 'taken'> {
  if (!path) return undefined
  const startedAt = monotonic()
  const waitedMs = (): number => Math.round(monotonic() - startedAt)
  const flocked = await takeFlock(workspaces.shared!, path, {
    policy,
    left,
    tell: (file) => emit({ event: 'flock-waiting', lock: name, path: file, waitedMs: waitedMs() }),
    signal: AbortSignal.any([signal, held.lost]),
  })
  if (!flocked) emit({ event: 'lock-skipped', lock: name, holder: `a program that holds ${path} by flock` })
  return flocked ?? 'taken'
}

interface Command {
  command: string
  args: string[]
  flocked: Flocked | undefined
  graceMs: number
}

/** Runs the command to its end, however that comes. @returns its exit code */
async function runCommand(
  { params: { name }, emit, signal }: Context,
  { epoch, lost }: Held,
  { command, args, flocked, graceMs }: Command,
): Promise<number> {
  signal.throwIfAborted()
  lost.throwIfAborted()
  const child = startChild({
    command,
    args,
    cwd: workingFolder(),
    env: {
      ...ownEnv(),
      LOCK_NAME: name,
      LOCK_EPOCH: String(epoch),
      LOCK_FENCE: `${name}@${epoch}`,
    },
    // If this process is killed and the command lives on, it keeps excluding those who flock.
    inherit: flocked ? [flocked.fd] : [],
  })
  forwardSignals(child, (what) => emit({ event: 'command-signalled', lock: name, signal: what }))
  lost.addEventListener('abort', () => child.stop(graceMs), { once: true })
  const exitCode = await child.ended
  emit({ event: 'command-ended', lock: name, epoch, exitCode })
  return exitCode
}
