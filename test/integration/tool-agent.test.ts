/** An agent and its worker as processes. */
import { existsSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import type { Event } from '../../src/events.ts'
import { injectFault } from '../../src/platform/fs.ts'
import { runAgent } from '../../src/tool-agent/agent.ts'
import { readSettings } from '../../src/tool-agent/settings.ts'
import { forceRelease } from '../../src/locks/index.ts'
import { nameLock, nameLocks, placeOf, type State } from '../../src/upgrades/index.ts'
import type { Volume } from '../../src/volume/volume.ts'
import { identityOf } from '../locks/support.ts'
import { temporaryFolder } from '../support/folder.ts'
import {
  FLEET,
  freePort,
  installVersion,
  leadFleet,
  newVolume,
  settingsFor,
  startAgent,
  startLeader,
  statesOf,
  stateOf,
  tamper,
  until,
  type Agent,
} from '../upgrades/support.ts'

const LONG = { timeout: 120_000 }

const untilIt = (volume: Volume, agent: Pick<Agent, 'name'>, is: Partial<State>): Promise<void> =>
  until(`${agent.name} is ${JSON.stringify(is)}`, async () => {
    const state = await stateOf(volume, agent.name)
    return Object.entries(is).every(([key, value]) => state?.[key as keyof State] === value)
  })

/** An agent in this process, whose file operations can be made to fail. */
async function startAgentHere(volume: Volume, name: string) {
  const port = await freePort()
  const { settings, command } = readSettings(
    settingsFor(volume, port, {}),
    // A child of this process has this environment.
    ['sh', '-c', `PORT=${port} CONSUMER=${name} exec echo-server`],
  )
  const events: Event[] = []
  const ending = new AbortController()
  const ended = runAgent({
    settings: { ...settings, NAME: name },
    command,
    identity: identityOf('agents', name),
    liveness: async () => ({ state: 'unknown', why: 'there is nobody to ask' }),
    emit: (event) => void events.push(event),
    signal: ending.signal,
  })
  const stop = async (): Promise<void> => {
    ending.abort()
    await ended
  }
  onTestFinished(stop)
  return { agent: { name, port }, events, stop }
}

const answerOf = ({ port }: Pick<Agent, 'port'>, path = '/'): Promise<string | undefined> =>
  fetch(`http://127.0.0.1:${port}${path}`)
    .then((answer) => answer.text())
    .catch(() => undefined)

describe('an agent', () => {
  test('starts a worker that ended again, and says why it ended', LONG, async () => {
    const volume = await newVolume()
    await installVersion(volume, '1')
    const agent = await startAgent(volume, 'w1')
    await untilIt(volume, agent, { phase: 'healthy' })
    await answerOf(agent, '/crash')
    await untilIt(volume, agent, { phase: 'failed', message: 'the worker ended with 7' })
    await untilIt(volume, agent, { phase: 'healthy', message: '' })
    expect(await answerOf(agent)).toBe('1')
  })

  test('waits for a version that is not there yet', LONG, async () => {
    const volume = await newVolume()
    const agent = await startAgent(volume, 'w1')
    await untilIt(volume, agent, { phase: 'failed' })
    expect((await stateOf(volume, 'w1'))?.message).toContain('is not on the volume')
    await installVersion(volume, '1')
    await untilIt(volume, agent, { phase: 'healthy' })
  })

  test('starts nothing that is not what was installed, and no leader lets it', LONG, async () => {
    const volume = await newVolume()
    await installVersion(volume, '2')
    const file = await installVersion(volume, '1')
    const agent = await startAgent(volume, 'w1')
    await untilIt(volume, agent, { phase: 'healthy' })
    // As a consumer might that is given more than it needs.
    await tamper(file)
    await answerOf(agent, '/crash')
    await until('a refusal', async () =>
      Boolean((await stateOf(volume, 'w1'))?.message.includes('is not what was installed')),
    )
    expect(await answerOf(agent)).toBeUndefined()
    const upgrade = leadFleet({ root: volume.layout.root, to: { version: '2' } })
    await expect(upgrade).rejects.toMatchObject({ code: 'DIGEST_MISMATCH' })
  })

  test('kills a worker that ignores SIGTERM, and starts the next one only then', LONG, async () => {
    const volume = await newVolume()
    await installVersion(volume, '1', { how: 'stays', consumers: 'all' })
    await installVersion(volume, '2')
    const agent = await startAgent(volume, 'w1', { STOP_TIMEOUT: '1s' })
    await untilIt(volume, agent, { phase: 'healthy' })
    const led = await leadFleet({ root: volume.layout.root, to: { version: '2' } })
    expect(led.target.phase).toBe('done')
    expect(await answerOf(agent)).toBe('2')
    const phases = (await statesOf(volume, 'w1')).map(({ version, phase }) => `${version} ${phase}`)
    expect([...new Set(phases)]).toEqual(['1 starting', '1 healthy', '1 stopping', '2 starting', '2 healthy'])
  })

  test(
    'takes a command for a health check, run with the tool in its PATH and in its own folder',
    LONG,
    async () => {
      const volume = await newVolume()
      await installVersion(volume, '1')
      const { work } = placeOf(volume.layout, FLEET, 'w1')
      const HEALTH = `test "$PWD" = "${work}" && test "$WORK_FOLDER" = "$PWD" && test "$TOOL_VERSION" = 1 && command -v echo-server`
      const agent = await startAgent(volume, 'w1', { HEALTH })
      await untilIt(volume, agent, { phase: 'healthy' })
      const ill = await startAgent(volume, 'w2', { HEALTH: 'echo no luck; exit 3', HEALTH_TIMEOUT: '1s' })
      await untilIt(volume, ill, { phase: 'failed' })
      expect((await stateOf(volume, 'w2'))?.message).toContain('the check ended with 3: no luck')
    },
  )

  test('that is told to stop in the middle of a check does not take that for a failure', LONG, async () => {
    const volume = await newVolume()
    await installVersion(volume, '1')
    const HEALTH = ': > checking; sleep 1; rm checking'
    const agent = await startAgent(volume, 'w1', { HEALTH })
    await untilIt(volume, agent, { phase: 'healthy' })
    const checking = join(placeOf(volume.layout, FLEET, 'w1').work, 'checking')
    await until('the end of a check', () => !existsSync(checking))
    await until('the next one', () => existsSync(checking))
    agent.kill('SIGTERM')
    expect(await agent.ended).toBe(0)
    const phases = (await statesOf(volume, 'w1')).map(({ phase }) => phase)
    expect([...new Set(phases)]).toEqual(['starting', 'healthy', 'stopping', 'stopped'])
  })

  test('ends its worker, and itself, when its name is taken from it', LONG, async () => {
    const volume = await newVolume()
    await installVersion(volume, '1')
    const agent = await startAgent(volume, 'w1')
    await untilIt(volume, agent, { phase: 'healthy' })
    const locks = nameLocks(volume, placeOf(volume.layout, FLEET, 'w1'))
    const name = nameLock(FLEET, 'w1')
    const { holders } = await locks.open(name).read()
    await forceRelease(locks, name, {
      ticket: holders[0]!.request.ticket,
      reason: 'a test',
      identity: identityOf('people', 'task'),
      emit: () => {},
    })
    expect(await agent.ended).toBe(46)
    expect(await answerOf(agent)).toBeUndefined()
  })
})

const isRoot = process.getuid?.() === 0

describe.runIf(isRoot)('an agent with the mounts of the example', () => {
  test('runs a worker that cannot change the tool, nor anything but what is its own', LONG, async () => {
    const volume = await newVolume()
    await installVersion(volume, '1')
    const { root } = volume.layout
    const { folder } = placeOf(volume.layout, FLEET, 'w1')
    await mkdir(folder, { recursive: true })
    const own = await temporaryFolder()
    const mounts = `mount --bind ${folder} ${own} && mount --bind ${root} ${root} && mount -o remount,ro,bind ${root}`
    const under = ['unshare', '--mount', 'sh', '-c', `${mounts} && exec "$@"`, 'sh']
    const refused = ['"$TOOL_PATH/echo-server"', '"$TOOL_PATH/new"', `${folder}/work/file`].map(
      (path) => `! (echo x >> ${path}) 2>/dev/null`,
    )
    const HEALTH = [...refused, 'echo x > "$WORK_FOLDER/file"'].join(' && ')
    const agent = await startAgent(volume, 'w1', { OWN_FOLDER: own, HEALTH }, { under })
    await untilIt(volume, agent, { phase: 'healthy' })
    expect(await answerOf(agent)).toBe('1')
  })
})

describe('an agent whose volume fails', () => {
  test('looks after its worker, and switches only when it can say so', LONG, async () => {
    const volume = await newVolume()
    for (const version of ['1', '2']) await installVersion(volume, version)
    const { agent, events, stop } = await startAgentHere(volume, 'w1')
    await untilIt(volume, agent, { phase: 'healthy' })
    const place = placeOf(volume.layout, FLEET, 'w1')
    injectFault((operation, path) => {
      const fails = path.startsWith(place.states) ? operation === 'open' : path.endsWith('/target')
      if (fails) throw Object.assign(new Error('ENOSPC: no room'), { code: 'ENOSPC' })
    })
    onTestFinished(() => injectFault(undefined))
    await answerOf(agent, '/crash')
    await until('another worker', async () => (await answerOf(agent)) === '1')
    expect(events).toContainEqual({ event: 'warning', about: 'consumer w1', detail: 'ENOSPC: no room' })

    // Now it can hear what it is to do, and still not say anything.
    injectFault((operation, path) => {
      if (operation === 'open' && path.startsWith(place.states))
        throw Object.assign(new Error('ENOSPC: still no room'), { code: 'ENOSPC' })
    })
    const leading = startLeader({ root: volume.layout.root, to: { version: '2' } })
    const isAsked = () =>
      events.some((event) => 'detail' in event && event.detail === 'ENOSPC: still no room')
    await until('a failure to answer', isAsked)
    expect(await answerOf(agent)).toBe('1')
    injectFault(undefined)
    expect(JSON.parse((await leading).stdout.trim())).toMatchObject({ phase: 'done' })
    expect(await answerOf(agent)).toBe('2')
    await stop()
    expect(await answerOf(agent)).toBeUndefined()
  })
})

describe('an agent is refused', () => {
  test('where an empty folder or another volume is in the place of its own', LONG, async () => {
    const volume = await newVolume()
    const empty = await startAgent(volume, 'w1', { FOLDER: await temporaryFolder() })
    expect(await empty.ended).toBe(20)
    expect(empty.log().at(-1)).toMatchObject({ code: 'STORAGE_NOT_MOUNTED' })
    const other = await startAgent(volume, 'w1', { VOLUME_ID: 'of-another-one' })
    expect(await other.ended).toBe(20)
    expect(other.log().at(-1)).toMatchObject({ expected: 'the volume of-another-one' })
  })

  test('where its own folder is not the one that the leader sees', LONG, async () => {
    const volume = await newVolume()
    await installVersion(volume, '1')
    const elsewhere = await startAgent(volume, 'w1', { OWN_FOLDER: await temporaryFolder() })
    expect(await elsewhere.ended).toBe(20)
    expect(elsewhere.log().at(-1)).toMatchObject({ expected: 'two mounts of one volume' })
    // The same folder by another path is what two mounts of one claim are.
    const { folder } = placeOf(volume.layout, FLEET, 'w2')
    await mkdir(folder, { recursive: true })
    const agent = await startAgent(volume, 'w2', { OWN_FOLDER: join(folder, '../w2') })
    await untilIt(volume, agent, { phase: 'healthy' })
  })

  test('without a version and a target, or without a health check', LONG, async () => {
    const volume = await newVolume()
    const lost = await startAgent(volume, 'w1', { VERSION: '' })
    expect(await lost.ended).toBe(64)
    expect(lost.log().at(-1)).toMatchObject({
      code: 'USAGE',
      expected: expect.stringContaining('AGENT_VERSION'),
    })
    const blind = await startAgent(volume, 'w1', { HEALTH: '' })
    expect(await blind.ended).toBe(64)
    expect(blind.log().at(-1)).toMatchObject({ message: expect.stringContaining('AGENT_HEALTH') })
  })
})
