/** What the probe on two nodes takes: its settings, by which its Job is made and its environment read. */
import { duration, requiredText, understood } from '../schemas.ts'
import type * as z from '../zod.ts'

export const PROBE_LOCKS = 'probe-locks'
/** In the image, beside the steps, with which it shares code. */
export const PROGRAM = '/opt/shared-workspace/steps/probe-locks.mjs'

const side = understood(
  (text) => (text === '0' ? 0 : text === '1' ? 1 : undefined),
  'expected the side, 0 or 1',
)

/** By the names of the environment variables, which follow `PROBE_`. */
export const SETTINGS = {
  /** Where the volume is mounted. */
  FOLDER: requiredText,
  /** The same for both sides, and new for each probe. */
  SESSION: requiredText,
  SIDE: side,
  NODE: requiredText,
  /** How long to wait for the other side. */
  PATIENCE: duration,
} satisfies Record<string, z.ZodMiniType>

export type SettingName = keyof typeof SETTINGS
export const settingEnv = (name: SettingName): string => `PROBE_${name}`
export type Settings = { [K in SettingName]: z.output<(typeof SETTINGS)[K]> }
