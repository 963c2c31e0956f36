import { pair, time, type Row } from './pair.ts'
import { withWorld, type BenchOptions } from './world.ts'

/** What a step costs before it does anything: reading a status, against a bare Node. */
export async function start(options: BenchOptions): Promise<Row[]> {
  return withWorld(options, async (world) => {
    const volume = await world.newVolume()
    await time(world.step('workspace-init', volume))
    const status = world.step('workspace-status', volume)
    // A start is short and its times spread: more rounds, at little cost.
    return [await pair('start a step and read a status', status, BARE_NODE, 1.5, 3 * options.rounds)]
  })
}

export const BARE_NODE = { name: 'node -e 0', run: { command: [process.execPath, '-e', '0'] } }
