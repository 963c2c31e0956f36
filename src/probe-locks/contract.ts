/** What the probe on two nodes takes: its settings, by which its Job is made and its environment read. */
import { duration, requiredText, understood } from '../schemas.ts'
import { setting, type Definitions } from '../settings.ts'

export const PROBE_LOCKS = 'probe-locks'
/** In the image, beside the steps, with which it shares code. */
export const PROGRAM = '/opt/shared-workspace/steps/probe-locks.mjs'

const side = understood(
  (text) => (text === '0' ? 0 : text === '1' ? 1 : undefined),
  'expected the side, 0 or 1',
)

/** By the names of the environment variables, which follow `PROBE_`. */
export const SETTINGS = {
  FOLDER: setting(requiredText, '', 'Where the volume is mounted.'),
  SESSION: setting(requiredText, '', 'The same for both sides, and new for each probe.'),
  SIDE: setting(side, '', 'Which of both this is: 0 or 1.'),
  NODE: setting(requiredText, '', 'The node that it runs on.'),
  PATIENCE: setting(duration, '', 'How long to wait for the other side.'),
} satisfies Definitions

export const PREFIX = 'PROBE_'
export type SettingName = keyof typeof SETTINGS
export const settingEnv = (name: SettingName): string => PREFIX + name
