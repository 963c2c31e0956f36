/** The step as a process, on fleets without agents. */
import { describe, expect, it } from 'vitest'
import { runStep } from '../support/step.ts'
import { FLEET, installVersion, newVolume, TOOL } from '../upgrades/support.ts'
import type { Volume } from '../../src/volume/volume.ts'

const upgrade = ({ layout: { root } }: Volume, params: Record<string, string>) =>
  runStep('tool-upgrade', {
    params: { fleet: FLEET, tool: TOOL, ...params },
    workspaces: { shared: root },
    resultsIn: root,
  })

describe('tool-upgrade', () => {
  it('says what a fleet that has no consumers yet will be on, and that it is on it', async () => {
    const volume = await newVolume()
    await installVersion(volume, '1')
    await installVersion(volume, '2')
    const first = await upgrade(volume, { version: '1' })
    expect([first.exitCode, first.results]).toEqual([
      0,
      { phase: 'done', from: '', to: '1', upgraded: '0', failed: '' },
    ])
    const second = await upgrade(volume, { version: '2' })
    expect(second.results).toMatchObject({ phase: 'done', from: '1', to: '2' })
    const again = await upgrade(volume, { version: '2' })
    expect([again.exitCode, again.line('fleet-phase')?.['reason']]).toEqual([0, 'there was nothing to do'])
    const back = await upgrade(volume, { mode: 'roll-back' })
    expect([back.exitCode, back.results['phase']]).toEqual([0, 'rolled-back'])
    const there = await upgrade(volume, { version: '1' })
    expect([there.exitCode, there.results]).toEqual([
      0,
      { phase: 'done', from: '1', to: '1', upgraded: '0', failed: '' },
    ])

    const status = await upgrade(volume, { mode: 'status' })
    expect(status.stdout).toContain(
      `fleet ${FLEET}: ${TOOL} from 1 to 2 is rolled-back\nled by nobody\n  no consumers`,
    )
    const json = await upgrade(volume, { mode: 'status', format: 'json' })
    const document = json.events.find((line) => line['v'] === 1)
    expect(document).toMatchObject({
      fleet: FLEET,
      leader: '',
      consumers: [],
      target: { phase: 'rolled-back' },
    })
  })

  it('fails before anything is touched: without a version, without that version, without one before', async () => {
    const volume = await newVolume()
    expect((await upgrade(volume, {})).line('USAGE')).toMatchObject({ expected: 'the parameter version' })
    const missing = await upgrade(volume, { version: '1' })
    expect([missing.exitCode, missing.line('TOOL_NOT_INSTALLED')]).toEqual([58, expect.anything()])
    const back = await upgrade(volume, { mode: 'roll-back' })
    expect([back.exitCode, back.line('UPGRADE_HALTED')]).toEqual([57, expect.anything()])
    const none = await upgrade(volume, { mode: 'status' })
    expect([none.exitCode, none.results['phase']]).toEqual([0, ''])
  })
})
