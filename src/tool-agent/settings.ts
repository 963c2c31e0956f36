import { WorkspaceError } from '../errors.ts'
import { settingEnv, SETTINGS, type SettingName, type Settings } from './contract.ts'

/** The settings, and the worker's command. @throws WorkspaceError USAGE that names everything that is wrong with them */
export function readSettings(
  env: Record<string, string | undefined>,
  args: readonly string[],
): { settings: Settings; command: readonly [string, ...string[]] } {
  const values: Record<string, unknown> = {}
  const problems: string[] = []
  for (const name of Object.keys(SETTINGS) as SettingName[]) {
    const given = env[settingEnv(name)] || SETTINGS[name].default
    const result = SETTINGS[name].schema.safeParse(given)
    if (result.success) values[name] = result.data
    else
      for (const { message } of result.error.issues)
        problems.push(`${settingEnv(name)}: ${message}, found ${JSON.stringify(given)}`)
  }
  const [command, ...rest] = args
  if (!command) problems.push('args: expected the command of the worker, found none')
  if (command && problems.length === 0) return { settings: values as Settings, command: [command, ...rest] }
  throw new WorkspaceError('USAGE', `the agent cannot start: ${problems.join('; ')}`, {
    expected: 'settings as its contract says, and a command in args',
    found: `${problems.length} that are not`,
    hint: 'see the settings in docs/operators.md',
  })
}
