/** With which target a leader begins, from what it finds. */
import { describe, expect, it } from 'vitest'
import { beginRollBack, beginUpgrade, type Leader } from '../../src/upgrades/begin.ts'
import type { Consumer } from '../../src/upgrades/consumers.ts'
import type { Target } from '../../src/upgrades/format.ts'

const leader: Leader = { fleet: 'f', call: 'new call', by: 'new leader', at: 'now' }
const found = (over: Partial<Target>): Target => ({
  v: 1,
  call: 'old call',
  tool: 'echo',
  version: '2',
  previous: '1',
  phase: 'done',
  switched: [],
  failed: ['c0'],
  reason: 'of old',
  code: 'SERVICE_FAILED',
  by: 'old leader',
  at: 'then',
  ...over,
})
const consumer = (name: string, version: string): Consumer => ({
  name,
  state: {
    v: 1,
    phase: 'healthy',
    tool: 'echo',
    version,
    platform: 'linux-amd64',
    call: '',
    message: '',
    switchMs: 1,
    pod: { namespace: 'ci', name, uid: name },
    node: '',
    at: '',
  },
})
const two = [consumer('c0', '1'), consumer('c1', '1')]
const to = (version: string) => ({ tool: 'echo', version })

describe('an upgrade', () => {
  it('of a fleet that had none starts from what its consumers are on', () => {
    expect(beginUpgrade(undefined, two, to('2'), leader)).toMatchObject({ version: '2', previous: '1' })
    expect(beginUpgrade(undefined, [], to('2'), leader)).not.toHaveProperty('previous')
    const mixed = [...two, consumer('c2', '3')]
    expect(() => beginUpgrade(undefined, mixed, to('2'), leader)).toThrow('several versions')
  })

  it('starts from what the last one led to', () => {
    const after = (phase: Target['phase']) => beginUpgrade(found({ phase }), two, to('3'), leader)
    expect(after('done')).toMatchObject({
      phase: 'upgrading',
      version: '3',
      previous: '2',
      failed: [],
      code: '',
    })
    expect(after('rolled-back')).toMatchObject({ version: '3', previous: '1' })
  })

  it('is nothing to do where the fleet is there', () => {
    expect(beginUpgrade(found({}), two, to('2'), leader)).toBeUndefined()
    expect(beginUpgrade(found({ phase: 'rolled-back' }), two, to('1'), leader)).toBeUndefined()
  })

  it.each(['upgrading', 'halted'] as const)('goes on where one was left %s', (phase) => {
    const begun = beginUpgrade(found({ phase, switched: ['c0'] }), two, to('2'), leader)
    expect(begun).toMatchObject({
      phase: 'upgrading',
      switched: ['c0'],
      previous: '1',
      call: 'new call',
      reason: '',
    })
  })

  it('goes on with the roll-back where one was left rolling back, and still knows why', () => {
    const begun = beginUpgrade(found({ phase: 'rolling-back', switched: ['c1'] }), two, to('2'), leader)
    expect(begun).toMatchObject({
      phase: 'rolling-back',
      switched: ['c1'],
      reason: 'of old',
      call: 'new call',
    })
  })

  it('to another version is refused while somebody may be on the one between', () => {
    const halted = found({ phase: 'halted', switched: ['c0'] })
    expect(() => beginUpgrade(halted, two, to('3'), leader)).toThrow('in the middle of another upgrade')
    const untouched = beginUpgrade({ ...halted, switched: ['gone'] }, two, to('3'), leader)
    expect(untouched).toMatchObject({ version: '3', previous: '1', switched: [] })
  })

  it('is of one tool', () => {
    expect(() => beginUpgrade(found({ tool: 'other' }), two, to('2'), leader)).toThrow('not one of echo')
  })
})

describe('a roll-back', () => {
  it('of what is done takes everybody back', () => {
    const begun = beginRollBack(found({}), two, 'echo', leader)
    expect(begun).toMatchObject({ phase: 'rolling-back', switched: ['c0', 'c1'], previous: '1' })
  })

  it('of what is halted takes those back who switched', () => {
    const begun = beginRollBack(found({ phase: 'halted', switched: ['c0'] }), two, 'echo', leader)
    expect(begun).toMatchObject({ phase: 'rolling-back', switched: ['c0'] })
  })

  it('is nothing to do twice, and refused where nothing came before', () => {
    expect(beginRollBack(found({ phase: 'rolled-back' }), two, 'echo', leader)).toBeUndefined()
    expect(() => beginRollBack(undefined, two, 'echo', leader)).toThrow('nothing to go back to')
  })
})
