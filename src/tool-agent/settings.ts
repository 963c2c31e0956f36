import { readSettings as read } from '../settings.ts'
import { PREFIX, SETTINGS, type Settings } from './contract.ts'

const PROGRAM = { title: 'the agent', docs: 'docs/operators.md', prefix: PREFIX }

/** The settings, and the worker's command. @throws WorkspaceError USAGE that names everything that is wrong with them */
export function readSettings(
  env: Record<string, string | undefined>,
  [command = '', ...rest]: readonly string[],
): { settings: Settings; command: readonly [string, ...string[]] } {
  const none = command ? [] : ['args: expected the command of the worker, found none']
  return { settings: read(SETTINGS, PROGRAM, env, none), command: [command, ...rest] }
}
