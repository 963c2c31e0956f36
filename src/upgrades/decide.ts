/** What the leader does next, from what it wants and what it sees. Pure. */
import { limitFor, type MaxUnavailable } from './max-unavailable.ts'
import { versionFor, type State, type Target } from './format.ts'

/** A consumer as this leader has watched it. Times are watched time, in ms. */
export interface Member {
  name: string
  state: State
  /** Since its last sign of life. */
  silentMs: number
  /** Since this leader called. */
  calledMs: number
  /** Since this leader told it to switch; undefined where it has not. */
  turnMs: number | undefined
}

/** How patient the leader is. Users have no say in it; tests shorten it. All times in ms. */
export const PATIENCE = {
  /** Without a sign of life: six beats. */
  silentMs: 30_000,
  /** To answer a call while alive: a switch may be under way. */
  callMs: 15_000,
  /** Beyond what the consumer says that it needs: to verify a large tool over a network. */
  turnMs: 60_000,
}
export type Patience = typeof PATIENCE

export type Next =
  | { do: 'wait' }
  /** `turns`: whose turn it is now. */
  | { do: 'point'; change: Partial<Target>; turns: string[] }

const WAIT: Next = { do: 'wait' }

type Condition =
  /** On the version that it is to run, by its own health check. */
  | 'ready'
  /** It says that the version that it is to run fails. */
  | 'failed'
  /** No sign of life, or none of having seen the call. */
  | 'silent'
  /** Alive, but over the time that it was to need for its turn. */
  | 'late'
  | 'working'

export function conditionOf(member: Member, target: Target, patience: Patience): Condition {
  const { state, silentMs, calledMs, turnMs } = member
  const answered = state.call === target.call
  const callOver = calledMs > patience.callMs + (state.phase === 'healthy' ? 0 : state.switchMs)
  if (silentMs > patience.silentMs || (!answered && callOver)) return 'silent'
  const wanted = versionFor(target, member.name) ?? state.version
  if (answered && state.version === wanted) {
    if (state.phase === 'healthy') return 'ready'
    if (state.phase === 'failed') return 'failed'
  }
  return turnMs !== undefined && turnMs > state.switchMs + patience.turnMs ? 'late' : 'working'
}

/** While the phase is `upgrading`. */
export function decideUpgrade(
  target: Target,
  members: readonly Member[],
  max: MaxUnavailable,
  patience: Patience,
): Next {
  const seen = members.map((member) => ({ member, condition: conditionOf(member, target, patience) }))
  const isSwitched = ({ member }: { member: Member }): boolean => target.switched.includes(member.name)
  const switched = seen.filter(isSwitched)
  for (const condition of ['failed', 'silent', 'late'] as const) {
    const those = switched.filter((one) => one.condition === condition)
    if (those.length > 0) return halt(condition, those, target)
  }
  const rest = seen.filter((one) => !isSwitched(one))
  const unanswered = rest.filter(
    ({ member, condition }) => condition !== 'silent' && !answers(member, target),
  )
  if (unanswered.length > 0) return WAIT
  const limit = limitFor(max, members.length)
  const silent = rest.filter(({ condition }) => condition === 'silent')
  if (silent.length >= limit) return halt('silent', silent, target)
  const working = switched.filter(({ condition }) => condition !== 'ready')
  const candidates = rest.filter(({ condition }) => condition !== 'silent')
  if (candidates.length === 0 && working.length === 0)
    return point({ phase: 'done', switched: [], failed: silent.map(nameOf) }, [])
  const turns = nextTurns(
    candidates.map(({ member }) => member),
    { atWork: working.length, away: silent.length + working.length, limit },
  )
  if (turns.length === 0) return WAIT
  return point({ switched: [...target.switched, ...turns] }, turns)
}

/** Who is not healthy anyhow goes first, as that makes nobody unavailable who was not. */
function nextTurns(
  candidates: readonly Member[],
  { atWork, away, limit }: { atWork: number; away: number; limit: number },
): string[] {
  const ill = candidates.filter(({ state }) => state.phase !== 'healthy')
  const well = candidates.filter(({ state }) => state.phase === 'healthy')
  const first = ill.slice(0, Math.max(0, limit - atWork))
  const room = Math.min(limit - atWork - first.length, limit - away - ill.length)
  return [...first, ...well.slice(0, Math.max(0, room))].map(({ name }) => name)
}

/**
 * While the phase is `rolling-back`. Who is silent or fails is no reason to leave the others on a version that failed:
 * only those that are switching count against the limit. One that fails on the old version too stops it.
 */
export function decideRollBack(
  target: Target,
  members: readonly Member[],
  max: MaxUnavailable,
  patience: Patience,
): Next {
  const seen = members.map((member) => ({ member, condition: conditionOf(member, target, patience) }))
  const back = seen.filter(({ member }) => !target.switched.includes(member.name))
  const turned = back.filter(({ member }) => member.turnMs !== undefined)
  const failed = turned.filter(({ condition }) => condition === 'failed' || condition === 'late')
  if (failed.length > 0) return halt(failed[0]!.condition, failed, target)
  const working = back.filter(({ condition }) => condition === 'working')
  const rest = seen.filter(
    ({ member, condition }) => target.switched.includes(member.name) && condition !== 'silent',
  )
  if (rest.some(({ member }) => !answers(member, target))) return WAIT
  // A consumer that just came is on the old version, or on its way there.
  if (rest.length === 0 && working.length === 0) return point({ phase: 'rolled-back', switched: [] }, [])
  const ordered = rest.toSorted((a, b) => Number(isHealthy(a.member)) - Number(isHealthy(b.member)))
  const room = Math.max(0, limitFor(max, members.length) - working.length)
  const turns = ordered.slice(0, room).map(nameOf)
  if (turns.length === 0) return WAIT
  return point({ switched: target.switched.filter((name) => !turns.includes(name)) }, turns)
}

type Judged = { member: Member; condition: Condition }

const nameOf = ({ member }: Judged): string => member.name
const isHealthy = ({ state }: Member): boolean => state.phase === 'healthy'
const answers = ({ state }: Member, { call }: Target): boolean => state.call === call

const point = (change: Partial<Target>, turns: string[]): Next => ({ do: 'point', change, turns })

function halt(condition: Condition, those: readonly Judged[], target: Target): Next {
  const names = those.map(nameOf)
  return point(
    {
      phase: 'halted',
      failed: [...new Set([...target.failed, ...names])],
      reason: `${those.map((one) => why(one, target)).join('; ')}${target.reason ? `; before: ${target.reason}` : ''}`,
      code: condition === 'failed' ? 'SERVICE_FAILED' : 'UPGRADE_TIMED_OUT',
    },
    [],
  )
}

function why({ member: { name, state, silentMs, turnMs = 0 }, condition }: Judged, target: Target): string {
  if (condition === 'failed') return `${name} fails on ${state.version}: ${state.message}`
  const wanted = versionFor(target, name) ?? state.version
  if (condition === 'late')
    return `${name} is still ${state.phase} on ${state.version} after ${seconds(turnMs)}, where it was to be healthy on ${wanted}`
  return `${name} gave no sign of life for ${seconds(silentMs)}, last ${state.phase} on ${state.version}`
}

const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`
