/** Leads a fleet from one version to another, or back: in waves, under the fleet's lock. */
import { WorkspaceError } from '../errors.ts'
import type { Emit } from '../events.ts'
import type { Identity } from '../identity.ts'
import { fenceOf, withLock, type LockBackend, type WithLockOptions } from '../locks/index.ts'
import { jitter, sleep, timestamp } from '../platform/clock.ts'
import { platformName } from '../platform/host.ts'
import { uuid } from '../platform/random.ts'
import type { Fence } from '../volume/fence.ts'
import type { Liveness } from '../volume/liveness.ts'
import type { Volume } from '../volume/volume.ts'
import { beginRollBack, beginUpgrade, settledOn, type Leader } from './begin.ts'
import { listConsumers, type Consumer } from './consumers.ts'
import { conditionOf, decideRollBack, decideUpgrade, PATIENCE, type Member } from './decide.ts'
import { fleetLock, type Target } from './format.ts'
import type { MaxUnavailable } from './max-unavailable.ts'
import { publishTarget, takeTarget } from './pointers.ts'
import { requireInstalled } from './require-installed.ts'
import { watchFleet } from './watch-fleet.ts'

/** How often the leader looks. Users have no say in it; tests shorten it. */
const LEADING = { ...PATIENCE, lookMs: 500, askAfterMs: 10_000 }

export interface LeadOptions {
  volume: Volume
  locks: LockBackend
  fleet: string
  tool: string
  /** To go back, no version is needed. */
  to: { version: string } | 'roll-back'
  maxUnavailable: MaxUnavailable
  /** Whether to go back by itself when it is halted. */
  rollBack: boolean
  /** How long to wait for another leader, in ms. */
  timeoutMs: number
  identity: Identity
  liveness: Liveness
  emit: Emit
  signal: AbortSignal
  /** For tests. */
  leading?: Partial<typeof LEADING>
  holding?: WithLockOptions['holding']
  tuning?: WithLockOptions['tuning']
}

/** The target as it ended, and how many consumers are on the version that it leads to. */
export interface Led {
  target: Target
  upgraded: number
  /** False where the fleet was where it should be. */
  changed: boolean
}

/**
 * Ends with the phase `done`, `rolled-back` or, where it could not go back, `halted`. A leader that is stopped leaves
 * all as it is, for the next one to go on.
 * @throws WorkspaceError as beginUpgrade, beginRollBack, requireInstalled and withLock
 */
export async function lead(options: LeadOptions): Promise<Led> {
  const { locks, fleet, identity, liveness, emit, signal, timeoutMs, holding, tuning } = options
  const lock = fleetLock(fleet)
  const common = { identity, liveness, emit, signal, timeoutMs }
  const forTests = { ...(holding ? { holding } : {}), ...(tuning ? { tuning } : {}) }
  const done = await withLock(locks, lock, { ...common, ...forTests, policy: 'wait' }, ({ epoch, lost }) =>
    leadUnder({ ...options, signal: AbortSignal.any([signal, lost]) }, fenceOf(locks, { lock, epoch })),
  )
  if (done.acquired) return done.value
  throw new WorkspaceError('INTERNAL', 'the policy wait never skips')
}

async function leadUnder(options: LeadOptions, fence: Fence): Promise<Led> {
  const { volume, fleet, tool, to, identity } = options
  const found = await takeTarget(volume.layout, fleet, fence)
  const consumers = await listConsumers(volume.layout, fleet)
  const leader: Leader = { fleet, call: uuid(), by: identity.taskRun.name, at: timestamp() }
  const begun =
    to === 'roll-back'
      ? beginRollBack(found, consumers, tool, leader)
      : beginUpgrade(found, consumers, { tool, version: to.version }, leader)
  if (!begun) {
    const target = to === 'roll-back' ? found! : settledOn(found!, to.version)
    return { target, upgraded: onVersion(target, consumers), changed: false }
  }
  await requireVersions(options, begun, consumers)
  return goOn(options, fence, begun)
}

/** Nobody is told to stop before it is known that there is something to start, forth and back. */
async function requireVersions(
  { volume: { layout }, tool: name }: LeadOptions,
  { phase, version, previous }: Target,
  consumers: readonly Consumer[],
): Promise<void> {
  const platforms = new Set(consumers.map(({ state }) => state.platform))
  if (platforms.size === 0) platforms.add(platformName())
  if (phase === 'upgrading') await requireInstalled(layout, { name, version, platforms })
  if (previous) await requireInstalled(layout, { name, version: previous, platforms })
}

async function goOn(options: LeadOptions, fence: Fence, begun: Target): Promise<Led> {
  const { volume, fleet, liveness, rollBack, emit, signal } = options
  const leading = { ...LEADING, ...options.leading }
  const watch = watchFleet({ volume, fleet, liveness, askAfterMs: leading.askAfterMs })
  // What an earlier leader began is given its time anew.
  if (begun.phase === 'upgrading') watch.turn(begun.switched)
  const told = tellSilent(fleet, emit)
  let target = begun
  let members: Member[] = []
  const point = async (change: Partial<Target>): Promise<void> => {
    target = { ...target, ...change, at: timestamp() }
    await publishTarget(volume.layout, fleet, fence, target)
    if (change.phase) tellPhase(fleet, target, emit)
  }
  await point({ phase: begun.phase })
  for (;;) {
    signal.throwIfAborted()
    members = await watch.look()
    told(members.filter((member) => conditionOf(member, target, leading) === 'silent'))
    const decide = target.phase === 'upgrading' ? decideUpgrade : decideRollBack
    const next = decide(target, members, options.maxUnavailable, leading)
    if (next.do === 'wait') {
      await sleep(jitter(leading.lookMs), signal)
      continue
    }
    const wasUpgrading = target.phase === 'upgrading'
    await point(next.change)
    watch.turn(next.turns)
    tellTurns(fleet, target, next.turns, emit)
    if (target.phase === 'halted' && wasUpgrading && rollBack && target.previous)
      await point({ phase: 'rolling-back' })
    if (['done', 'rolled-back', 'halted'].includes(target.phase)) break
  }
  return { target, upgraded: onVersion(target, members), changed: true }
}

const onVersion = ({ version, phase }: Target, consumers: readonly Consumer[]): number =>
  phase === 'rolled-back'
    ? 0
    : consumers.filter(({ state }) => state.version === version && state.phase === 'healthy').length

function tellTurns(fleet: string, target: Target, consumers: string[], emit: Emit): void {
  if (consumers.length === 0) return
  const version = target.phase === 'rolling-back' ? target.previous! : target.version
  emit({ event: 'fleet-turn', fleet, consumers, tool: target.tool, version })
}

function tellPhase(fleet: string, target: Target, emit: Emit): void {
  const { tool, phase, previous: from = '', version: to, reason } = target
  emit({ event: 'fleet-phase', fleet, tool, phase, from, to, ...(reason ? { reason } : {}) })
}

/** Tells of each consumer that is silent once. */
function tellSilent(fleet: string, emit: Emit): (silent: readonly Member[]) => void {
  const told = new Set<string>()
  return (silent) => {
    const consumers = silent.map(({ name }) => name).filter((name) => !told.has(name))
    if (consumers.length > 0) emit({ event: 'fleet-silent', fleet, consumers })
    for (const name of consumers) told.add(name)
  }
}
