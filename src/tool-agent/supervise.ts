/** Runs what the fleet's leader wants, one worker at a time, and says how it is. */
import { toWorkspaceError } from '../errors.ts'
import type { Emit } from '../events.ts'
import type { Identity } from '../identity.ts'
import { jitter, monotonic, sleep, timestamp } from '../platform/clock.ts'
import { platformName } from '../platform/host.ts'
import {
  publishState,
  readTarget,
  versionFor,
  type ConsumerPhase,
  type State,
  type Target,
} from '../upgrades/index.ts'
import type { Fence } from '../volume/fence.ts'
import { startWorker, type Worker, type WorkerOptions } from './worker.ts'

export interface Supervision extends Omit<WorkerOptions, 'version'> {
  /** The consumer's name. */
  name: string
  identity: Identity
  /** The hold of the name. */
  fence: Fence
  emit: Emit
}

/** How often it looks, in ms: while a worker starts, and else. */
const [EAGER_MS, CALM_MS] = [200, 1_000]
/** A worker that failed is started again after so long, then twice as long, up to the most. */
const BACKOFF = { firstMs: 1_000, mostMs: 60_000 }
/** A healthy worker is ill after so many checks that failed. */
const MISSES = 3

/** Until `stop` is aborted; then the worker is stopped. */
export async function supervise(supervision: Supervision, stop: AbortSignal): Promise<void> {
  const supervisor = createSupervisor(supervision, stop)
  // Even where the volume hangs and with it whatever is under way.
  stop.addEventListener('abort', () => supervisor.stopWorker(), { once: true })
  while (!stop.aborted) {
    await supervisor.tick()
    await sleep(jitter(supervisor.isStarting() ? EAGER_MS : CALM_MS), stop).catch(() => undefined)
  }
  await supervisor.end()
}

function createSupervisor({ name, identity, fence, emit, ...rest }: Supervision, stop: AbortSignal) {
  const { volume, settings, place } = rest
  let target: Target | undefined
  let version: string | undefined
  let worker: Worker | undefined
  let phase: ConsumerPhase = 'starting'
  let message = ''
  let said = ''
  let failures = 0
  let misses = 0
  /** On the monotonic clock: when it may be started, and by when it has to be healthy. */
  let startAt = 0
  let healthyBy = 0

  /** Says how it is, where that is news. */
  async function say(): Promise<void> {
    if (!version) return
    const state: Omit<State, 'at'> = {
      v: 1,
      phase,
      tool: settings.TOOL,
      version,
      platform: platformName(),
      call: target?.call ?? '',
      message,
      switchMs: settings.STOP_TIMEOUT + settings.HEALTH_TIMEOUT,
      pod: { namespace: identity.taskRun.namespace, ...identity.pod },
      node: identity.node,
    }
    const news = JSON.stringify(state)
    if (news === said) return
    await publishState(place, fence, { ...state, at: timestamp() })
    said = news
    const { tool } = state
    emit({
      event: 'consumer-state',
      fleet: settings.FLEET,
      consumer: name,
      tool,
      version,
      phase,
      detail: message,
    })
  }

  function fail(why: string): void {
    ;[phase, message] = ['failed', why]
    const backoffMs = Math.min(BACKOFF.firstMs * 2 ** failures, BACKOFF.mostMs)
    failures++
    startAt = monotonic() + jitter(backoffMs)
  }

  async function switchTo(next: string): Promise<void> {
    if (worker) {
      ;[phase, message] = ['stopping', '']
      // Where this cannot be said, the worker goes on.
      await say()
      await worker.stop()
      worker = undefined
    }
    ;[version, phase, message, failures, startAt] = [next, 'starting', '', 0, 0]
    await say()
  }

  async function start(of: string): Promise<void> {
    try {
      worker = await startWorker({ ...rest, version: of })
      ;[misses, healthyBy] = [0, monotonic() + settings.HEALTH_TIMEOUT]
    } catch (error) {
      const { code, message, found } = toWorkspaceError(error)
      fail(code === 'DIGEST_MISMATCH' ? `${message}: ${found}` : message)
    }
  }

  async function lookAfter(running: Worker): Promise<void> {
    const ill = await running.check()
    // What answers the check may be another process.
    if (running.exitCode !== undefined) {
      worker = undefined
      fail(`the worker ended with ${running.exitCode}`)
    } else if (ill === undefined) {
      ;[phase, message, failures, misses, healthyBy] = ['healthy', '', 0, 0, Infinity]
    } else if (phase === 'healthy') {
      if (++misses < MISSES) return
      ;[phase, message, healthyBy] = ['failed', ill, monotonic() + settings.HEALTH_TIMEOUT]
    } else if (monotonic() > healthyBy) {
      await running.stop()
      worker = undefined
      fail(`not healthy within ${settings.HEALTH_TIMEOUT / 1000} s: ${ill}`)
    }
  }

  async function step(): Promise<void> {
    target = await readTarget(volume.layout, settings.FLEET)
    const wanted = (target && versionFor(target, name)) ?? settings.VERSION ?? target?.version
    if (wanted && wanted !== version) await switchTo(wanted)
  }

  /** A volume that fails for a while is told of, and does not keep the worker from being looked after. */
  async function attempt(work: () => Promise<void>): Promise<void> {
    await work().catch((error: unknown) => {
      emit({ event: 'warning', about: `consumer ${name}`, detail: toWorkspaceError(error).message })
    })
  }

  return {
    isStarting: () => phase === 'starting',
    stopWorker: () => void worker?.stop(),
    async tick(): Promise<void> {
      await attempt(step)
      if (stop.aborted) return
      if (worker) await lookAfter(worker)
      else if (version && monotonic() >= startAt) await start(version)
      // A worker that was told to stop has not failed.
      if (!stop.aborted) await attempt(say)
    },
    async end(): Promise<void> {
      ;[phase, message] = ['stopping', '']
      await attempt(say)
      await worker?.stop()
      phase = 'stopped'
      await attempt(say)
    },
  }
}
