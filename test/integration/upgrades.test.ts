/** Fleets of real processes: agents whose workers serve requests, leaders that are killed, agents that are paused. */
import { describe, expect, test } from 'vitest'
import { runStep } from '../support/step.ts'
import type { Event } from '../../src/events.ts'
import {
  FLEET,
  installVersion,
  leadFleet,
  mostAway,
  newVolume,
  startAgent,
  startFleet,
  startLeader,
  startLoad,
  startsOf,
  stateOf,
  targetOf,
  TOOL,
  until,
  type Agent,
} from '../upgrades/support.ts'
import type { Volume } from '../../src/volume/volume.ts'

const LONG = { timeout: 240_000 }

/** What each consumer is, as `version phase`. */
const fleetOf = (volume: Volume, agents: readonly Agent[]): Promise<string[]> =>
  Promise.all(
    agents.map(async ({ name }) => {
      const state = await stateOf(volume, name)
      return `${state?.version} ${state?.phase}`
    }),
  )

const all = (agents: readonly Agent[], what: string): string[] => agents.map(() => what)

describe('a fleet', () => {
  test('of ten is upgraded without a failed request, one at a time', LONG, async () => {
    const volume = await newVolume()
    await installVersion(volume, '1')
    await installVersion(volume, '2')
    const agents = await startFleet(volume, 10)
    const load = startLoad(agents)
    const led = await leadFleet({ root: volume.layout.root, to: { version: '2' } })
    const { requests, failed, versions } = await load.stop()

    expect(led).toMatchObject({ target: { phase: 'done', version: '2', previous: '1' }, upgraded: 10 })
    expect([failed, versions]).toEqual([0, new Set(['1', '2'])])
    expect(requests).toBeGreaterThan(100)
    expect(await fleetOf(volume, agents)).toEqual(all(agents, '2 healthy'))
    expect(await mostAway(volume, agents)).toBe(1)
    for (const { name } of agents) expect(await startsOf(volume, name)).toEqual(['1', '2'])
    // Again: nothing to do.
    const again = await leadFleet({ root: volume.layout.root, to: { version: '2' } })
    expect([again.changed, again.upgraded]).toEqual([false, 10])
  })

  test('goes back where the new version fails on one, without a failed request', LONG, async () => {
    const volume = await newVolume()
    await installVersion(volume, '1')
    await installVersion(volume, '2', { how: 'exits', consumers: ['w3'] })
    const agents = await startFleet(volume, 5)
    const load = startLoad(agents)
    const events: Event[] = []
    const led = await leadFleet({ root: volume.layout.root, to: { version: '2' } }, events)
    const { failed } = await load.stop()

    expect(led.target).toMatchObject({ phase: 'rolled-back', failed: ['w3'], code: 'SERVICE_FAILED' })
    expect(led.target.reason).toContain('w3 fails on 2: the worker ended with 3')
    expect(failed).toBe(0)
    expect(await fleetOf(volume, agents)).toEqual(all(agents, '1 healthy'))
    expect(await mostAway(volume, agents)).toBe(1)
    expect(await startsOf(volume, 'w0')).toEqual(['1', '2', '1'])
    // Its turn never came.
    expect(await startsOf(volume, 'w4')).toEqual(['1'])
    const phases = events.flatMap((event) => (event.event === 'fleet-phase' ? [event.phase] : []))
    expect(phases).toEqual(['upgrading', 'halted', 'rolling-back', 'rolled-back'])
  })

  test(
    'stays where it is, halted, where nobody wants it to go back; and goes on or back when told',
    LONG,
    async () => {
      const volume = await newVolume()
      const { root } = volume.layout
      await installVersion(volume, '1')
      await installVersion(volume, '2', { how: 'sick', consumers: ['w1'] })
      await installVersion(volume, '3')
      const agents = await Promise.all(
        ['w0', 'w1', 'w2'].map((name) => startAgent(volume, name, { HEALTH_TIMEOUT: '2s' })),
      )
      await until('health', async () => (await fleetOf(volume, agents)).every((is) => is === '1 healthy'))
      const halted = await leadFleet({ root, to: { version: '2' }, rollBack: false })
      expect(halted.target).toMatchObject({ phase: 'halted', switched: ['w0', 'w1'], failed: ['w1'] })
      expect(await fleetOf(volume, agents)).toEqual(['2 healthy', '2 failed', '1 healthy'])
      // Who comes now is on the version before.
      agents.push(await startAgent(volume, 'w3'))
      await until('w3 is healthy', async () => (await fleetOf(volume, agents))[3] === '1 healthy')
      await expect(leadFleet({ root, to: { version: '3' } })).rejects.toMatchObject({
        code: 'UPGRADE_HALTED',
      })

      const back = await leadFleet({ root, to: 'roll-back' })
      expect(back.target.phase).toBe('rolled-back')
      expect(await fleetOf(volume, agents)).toEqual(all(agents, '1 healthy'))
      const on = await leadFleet({ root, to: { version: '3' }, max: 2 })
      expect(on.target).toMatchObject({ phase: 'done', version: '3', previous: '1', failed: [], reason: '' })
      expect(await fleetOf(volume, agents)).toEqual(all(agents, '3 healthy'))
      // What is done can be undone as well.
      await leadFleet({ root, to: 'roll-back' })
      expect(await fleetOf(volume, agents)).toEqual(all(agents, '1 healthy'))
    },
  )

  test(
    'goes back where one is paused in its turn, and says who; it follows when it wakes up',
    LONG,
    async () => {
      const volume = await newVolume()
      await installVersion(volume, '1')
      await installVersion(volume, '2')
      const agents = await startFleet(volume, 4)
      const paused = agents[2]!
      const leading = leadFleet({ root: volume.layout.root, to: { version: '2' } })
      await until('its turn', async () => (await targetOf(volume))?.switched.includes('w2') ?? false)
      paused.kill('SIGSTOP')
      const { target } = await leading
      expect(target).toMatchObject({ phase: 'rolled-back', failed: ['w2'], code: 'UPGRADE_TIMED_OUT' })
      expect(target.reason).toContain('w2 gave no sign of life')
      const others = agents.filter((agent) => agent !== paused)
      expect(await fleetOf(volume, others)).toEqual(all(others, '1 healthy'))
      for (const { name } of others.slice(0, 2)) expect(await startsOf(volume, name)).toEqual(['1', '2', '1'])
      paused.kill('SIGCONT')
      await until('it has followed', async () => (await fleetOf(volume, [paused]))[0] === '1 healthy')
    },
  )

  test('is not touched where one is paused from the beginning', LONG, async () => {
    const volume = await newVolume()
    await installVersion(volume, '1')
    await installVersion(volume, '2')
    const agents = await startFleet(volume, 3)
    agents[1]!.kill('SIGSTOP')
    const { target } = await leadFleet({ root: volume.layout.root, to: { version: '2' } })
    expect(target).toMatchObject({ phase: 'rolled-back', failed: ['w1'] })
    for (const { name } of agents) expect(await startsOf(volume, name)).toEqual(['1'])
    agents[1]!.kill('SIGCONT')
  })
})

describe('leaders', () => {
  test('follow one that was killed in the middle: nobody switches twice', LONG, async () => {
    const volume = await newVolume()
    await installVersion(volume, '1')
    await installVersion(volume, '2')
    const agents = await startFleet(volume, 5)
    const options = { root: volume.layout.root, to: { version: '2' } }
    const first = startLeader({ ...options, by: 'first' })
    await until('two turns', async () => ((await targetOf(volume))?.switched.length ?? 0) >= 2)
    first.kill('SIGKILL')
    await first
    expect((await targetOf(volume))?.phase).toBe('upgrading')
    const second = await leadFleet({ ...options, by: 'second' })
    expect(second.target).toMatchObject({ phase: 'done', by: 'second-lead' })
    expect(await fleetOf(volume, agents)).toEqual(all(agents, '2 healthy'))
    for (const { name } of agents) expect(await startsOf(volume, name)).toEqual(['1', '2'])
    expect(await mostAway(volume, agents)).toBe(1)
  })

  test('exclude each other', LONG, async () => {
    const volume = await newVolume()
    await installVersion(volume, '1')
    await installVersion(volume, '2')
    const agents = await startFleet(volume, 3)
    const options = { root: volume.layout.root, to: { version: '2' } }
    const first = leadFleet({ ...options, by: 'first' })
    await until('the first leads', async () => (await targetOf(volume)) !== undefined)
    const hasty = leadFleet({ ...options, by: 'hasty', timeoutMs: 200 })
    await expect(hasty).rejects.toMatchObject({ code: 'LOCK_NOT_ACQUIRED' })
    const [led, then] = await Promise.all([first, leadFleet({ ...options, by: 'second' })])
    expect([led.changed, then.changed]).toEqual([true, false])
    for (const { name } of agents) expect(await startsOf(volume, name)).toEqual(['1', '2'])
  })
})

describe('an agent', () => {
  test('that was killed comes back under its name, on what the fleet is on by then', LONG, async () => {
    const volume = await newVolume()
    await installVersion(volume, '1')
    await installVersion(volume, '2')
    const old = await startAgent(volume, 'w0', {}, { shortName: true })
    await until('health', async () => (await fleetOf(volume, [old]))[0] === '1 healthy')
    await leadFleet({ root: volume.layout.root, to: { version: '2' } })
    old.kill('SIGKILL')
    await old.ended
    const next = await startAgent(volume, old.name, {}, { port: old.port, shortName: true })
    await until('it is back', () =>
      next.log().some((line) => line['event'] === 'consumer-state' && line['phase'] === 'healthy'),
    )
    expect(await stateOf(volume, old.name)).toMatchObject({ version: '2', phase: 'healthy' })

    // A second one of a name that is in use has to leave.
    const double = await startAgent(volume, old.name, {}, { shortName: true })
    expect(await double.ended).toBe(40)
    expect(double.log().at(-1)).toMatchObject({
      code: 'LOCK_NOT_ACQUIRED',
      message: `another agent is the consumer ${old.name} of the fleet echoes`,
    })
    expect(await stateOf(volume, old.name)).toMatchObject({ version: '2', phase: 'healthy' })
  })

  test('that is told to stop leaves the fleet', LONG, async () => {
    const volume = await newVolume()
    await installVersion(volume, '1')
    await installVersion(volume, '2')
    const agents = await startFleet(volume, 3)
    agents[1]!.kill('SIGTERM')
    expect(await agents[1]!.ended).toBe(0)
    expect((await stateOf(volume, 'w1'))?.phase).toBe('stopped')
    const led = await leadFleet({ root: volume.layout.root, to: { version: '2' } })
    expect(led).toMatchObject({ target: { phase: 'done', failed: [] }, upgraded: 2 })
  })
})

test('the step ends as the upgrade does, and says how', LONG, async () => {
  const volume = await newVolume()
  const { root } = volume.layout
  await installVersion(volume, '1')
  await installVersion(volume, '2', { how: 'exits', consumers: 'all' })
  const agents = await startFleet(volume, 2)
  const step = await runStep('tool-upgrade', {
    params: { fleet: FLEET, tool: TOOL, version: '2' },
    workspaces: { shared: root },
    resultsIn: root,
  })
  expect(step.exitCode).toBe(55)
  expect(step.results).toEqual({ phase: 'rolled-back', from: '1', to: '2', upgraded: '0', failed: 'w0' })
  expect(step.events.findLast((line) => line['event'] === 'fleet-phase')).toMatchObject({
    reason: 'w0 fails on 2: the worker ended with 3',
    hint: expect.stringContaining('look at the logs of w0'),
  })
  const status = await runStep('tool-upgrade', {
    params: { fleet: FLEET, tool: TOOL, mode: 'status' },
    workspaces: { shared: root },
    resultsIn: root,
  })
  for (const { name } of agents) expect(status.stdout).toMatch(new RegExp(`${name} +healthy +1 +node-a`))
})
