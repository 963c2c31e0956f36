import { WorkspaceError } from '../errors.ts'
import { settingEnv, SETTINGS, type SettingName, type Settings } from './contract.ts'

/** Reads the settings. @throws WorkspaceError USAGE that names everything that is wrong with them */
export function readSettings(env: Record<string, string | undefined>): Settings {
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
  if (problems.length === 0) return values as Settings
  throw new WorkspaceError('USAGE', `the coordinator cannot start: ${problems.join('; ')}`, {
    expected: 'settings as its contract says',
    found: `${problems.length} that are not`,
    hint: 'see the settings in docs/coordinator.md',
  })
}
