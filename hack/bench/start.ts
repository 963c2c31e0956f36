import { pair, type Row } from './pair.ts'
import { withWorld } from './world.ts'
import { execa } from 'execa'

/** What a step costs before it does anything: reading a status, against a bare Node. */
export async function start(rounds: number): Promise<Row[]> {
  return withWorld(async ({ step }) => {
    const init = step('workspace-init')
    await execa(init.command[0]!, init.command.slice(1), { env: init.env })
    const bare = { name: 'node -e 0', command: [process.execPath, '-e', '0'] }
    return [await pair('start a step and read a status', step('workspace-status'), bare, 3, rounds)]
  })
}
