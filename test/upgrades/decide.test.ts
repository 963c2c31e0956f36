/** The leader's decisions, in fleets that are made up: consumers switch, fail and fall silent as they like. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { decideRollBack, decideUpgrade, PATIENCE, type Member } from '../../src/upgrades/decide.ts'
import { versionFor, type State, type Target } from '../../src/upgrades/format.ts'
import { limitFor, maxUnavailable } from '../../src/upgrades/max-unavailable.ts'

const CALL = '00000000-0000-4000-8000-000000000000'
const begun: Target = {
  v: 1,
  call: CALL,
  tool: 'echo',
  version: '2',
  previous: '1',
  phase: 'upgrading',
  switched: [],
  failed: [],
  reason: '',
  code: '',
  by: 'leader',
  at: '',
}
const state = (over: Partial<State> = {}): State => ({
  v: 1,
  phase: 'healthy',
  tool: 'echo',
  version: '1',
  platform: 'linux-amd64',
  call: CALL,
  message: '',
  switchMs: 1_000,
  pod: { namespace: 'ci', name: 'p', uid: 'u' },
  node: 'n',
  at: '',
  ...over,
})
const member = (name: string, over: Partial<State> = {}, watched: Partial<Member> = {}): Member => ({
  name,
  state: state(over),
  silentMs: 0,
  calledMs: 0,
  turnMs: undefined,
  ...watched,
})
const one = { count: 1 }

/** What a consumer does when it is told to run a version: how many looks that takes, and how it ends. */
interface Temper {
  looks: number
  failsOn: '' | '1' | '2'
  /** At its first switch it falls silent. */
  diesSwitching: boolean
  ill: boolean
}

/** A fleet in which each look is a second, led until nothing more is to be done. */
function play(tempers: readonly Temper[], max: { count: number } | { percent: number }) {
  let target = begun
  const switches = new Map<string, string[]>()
  let mostAway = 0
  const consumers = tempers.map((temper, i) => ({
    ...temper,
    left: 0,
    dead: false,
    member: member(`c${i}`, { phase: temper.ill ? 'failed' : 'healthy', call: '' }),
  }))
  for (let look = 0; look < 2_000; look++) {
    for (const consumer of consumers) {
      const { member } = consumer
      member.calledMs += 1_000
      if (member.turnMs !== undefined) member.turnMs += 1_000
      if (consumer.dead) {
        member.silentMs += 1_000
        continue
      }
      const wanted = versionFor(target, member.name)!
      member.state = { ...member.state, call: CALL }
      if (wanted !== member.state.version) {
        member.state = { ...member.state, version: wanted, phase: 'starting' }
        switches.set(member.name, [...(switches.get(member.name) ?? []), wanted])
        consumer.left = consumer.looks
        consumer.dead = consumer.diesSwitching
      } else if (member.state.phase === 'starting' && consumer.left-- <= 0) {
        member.state.phase = consumer.failsOn === wanted ? 'failed' : 'healthy'
      }
    }
    const switching = consumers.filter(({ member: { state }, dead }) => state.phase === 'starting' && !dead)
    mostAway = Math.max(mostAway, switching.length)
    const members = consumers.map(({ member }) => member)
    const decide = target.phase === 'upgrading' ? decideUpgrade : decideRollBack
    const next = decide(target, members, max, PATIENCE)
    if (next.do === 'wait') continue
    const wasUpgrading = target.phase === 'upgrading'
    target = { ...target, ...next.change }
    for (const name of next.turns) members.find((one) => one.name === name)!.turnMs = 0
    if (target.phase === 'halted' && wasUpgrading) target = { ...target, phase: 'rolling-back' }
    if (['done', 'rolled-back', 'halted'].includes(target.phase))
      return { target, consumers, switches, mostAway }
  }
  throw new Error(`no end: ${JSON.stringify(target)}`)
}

const temper = fc.record({
  looks: fc.integer({ min: 0, max: 5 }),
  failsOn: fc.constantFrom<'' | '1' | '2'>('', '', '', '', '2', '1'),
  diesSwitching: fc.constantFrom(false, false, false, false, false, true),
  ill: fc.constantFrom(false, false, false, true),
})
const some = fc.oneof(
  fc.record({ count: fc.integer({ min: 1, max: 4 }) }),
  fc.record({ percent: fc.integer({ min: 1, max: 100 }) }),
)

describe('an upgrade', () => {
  it('comes to an end with everybody where they belong, never more of them away than allowed', () => {
    fc.assert(
      fc.property(fc.array(temper, { minLength: 1, maxLength: 12 }), some, (tempers, max) => {
        const { target, consumers, switches, mostAway } = play(tempers, max)
        expect(mostAway).toBeLessThanOrEqual(limitFor(max, tempers.length))
        const fails = tempers.some(({ failsOn, diesSwitching }) => failsOn === '2' || diesSwitching)
        expect(target.phase === 'done').toBe(!fails)
        if (target.phase === 'done') {
          expect(consumers.map(({ member: { state } }) => [state.version, state.phase])).toEqual(
            tempers.map(() => ['2', 'healthy']),
          )
          // Nobody twice.
          expect([...switches.values()].every((versions) => versions.length === 1)).toBe(true)
        } else expect(target.failed).not.toEqual([])
        if (target.phase === 'rolled-back')
          expect(consumers.every(({ member: { state }, dead }) => dead || state.version === '1')).toBe(true)
        // Some stay on the new version only where the old one failed, too.
        if (target.phase === 'halted')
          expect(
            target.failed.some((name) => consumers.find((c) => c.member.name === name)!.failsOn === '1'),
          ).toBe(true)
      }),
      { numRuns: 300 },
    )
  })

  it('lets nobody switch before all have answered', () => {
    const waits = decideUpgrade(begun, [member('a'), member('b', { call: '' })], one, PATIENCE)
    expect(waits).toEqual({ do: 'wait' })
  })

  it('halts before it begins where as many are silent as may be away, and says who', () => {
    const silent = member('b', {}, { silentMs: PATIENCE.silentMs + 1 })
    const deaf = member('c', { call: '' }, { calledMs: PATIENCE.callMs + 1 })
    for (const away of [silent, deaf])
      expect(decideUpgrade(begun, [member('a'), away], one, PATIENCE)).toMatchObject({
        do: 'point',
        change: { phase: 'halted', failed: [away.name], code: 'UPGRADE_TIMED_OUT' },
      })
  })

  it('goes on around a silent one where more may be away, and names it at the end', () => {
    const silent = member('b', {}, { silentMs: PATIENCE.silentMs + 1 })
    const members = [member('a'), silent, member('c')]
    expect(decideUpgrade(begun, members, { count: 2 }, PATIENCE)).toMatchObject({ turns: ['a'] })
    const done = ['a', 'c'].map((name) => member(name, { version: '2' }))
    const next = decideUpgrade({ ...begun, switched: ['a', 'c'] }, [...done, silent], { count: 2 }, PATIENCE)
    expect(next).toMatchObject({ change: { phase: 'done', failed: ['b'] } })
  })

  it('takes those first that are not healthy, and nobody who is while they are away', () => {
    const members = [member('a'), member('b', { phase: 'failed' }), member('c', { phase: 'starting' })]
    expect(decideUpgrade(begun, members, one, PATIENCE)).toMatchObject({ turns: ['b'] })
    expect(decideUpgrade(begun, members, { count: 3 }, PATIENCE)).toMatchObject({ turns: ['b', 'c', 'a'] })
  })

  it('halts on one that takes too long, although it beats', () => {
    const late = member('a', { phase: 'starting', version: '2' }, { turnMs: PATIENCE.turnMs + 1_001 })
    const next = decideUpgrade({ ...begun, switched: ['a'] }, [late], one, PATIENCE)
    expect(next).toMatchObject({ change: { phase: 'halted', code: 'UPGRADE_TIMED_OUT' } })
  })
})

describe('a roll-back', () => {
  it('leaves out who is silent', () => {
    const back: Target = { ...begun, phase: 'rolling-back', switched: ['a', 'b'] }
    const silent = member('a', { version: '2' }, { silentMs: PATIENCE.silentMs + 1 })
    const next = decideRollBack(back, [silent, member('b', { version: '2' })], one, PATIENCE)
    expect(next).toMatchObject({ turns: ['b'], change: { switched: ['a'] } })
    const end = decideRollBack({ ...back, switched: ['a'] }, [silent, member('b')], one, PATIENCE)
    expect(end).toMatchObject({ change: { phase: 'rolled-back', switched: [] } })
  })

  it('stops where the old version fails, too', () => {
    const back: Target = { ...begun, phase: 'rolling-back', switched: ['b'] }
    const failed = member('a', { phase: 'failed' }, { turnMs: 10 })
    const next = decideRollBack(back, [failed, member('b', { version: '2' })], one, PATIENCE)
    expect(next).toMatchObject({ change: { phase: 'halted', failed: ['a'], code: 'SERVICE_FAILED' } })
  })
})

describe('how many may be away', () => {
  it.each([
    ['1', 10, 1],
    ['3', 2, 3],
    ['20%', 10, 2],
    ['19%', 10, 1],
    ['1%', 10, 1],
    ['100%', 4, 4],
  ])('%s of %i', (text, consumers, limit) => {
    expect(limitFor(maxUnavailable.parse(text), consumers)).toBe(limit)
  })
  it.each(['0', '', '-1', '101%', '0%', '1.5', 'all'])('is not %j', (text) => {
    expect(maxUnavailable.safeParse(text).success).toBe(false)
  })
})
