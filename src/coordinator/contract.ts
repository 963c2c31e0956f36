/** What the coordinator takes: its settings, by which its Deployment is made and its environment read. */
import { bytes, days, duration, orNone, requiredText, text, wholeNumber } from '../schemas.ts'
import { setting, type Definitions, type ValuesOf } from '../settings.ts'

export const COORDINATOR = 'shared-workspace-coordinator'
/** In the image, beside the steps, with which it shares code. */
export const PROGRAM = '/opt/shared-workspace/steps/coordinator.mjs'

const number = wholeNumber('a whole number', 0, 65_535)

/** By the names of the environment variables, which follow `COORDINATOR_`. */
export const SETTINGS = {
  FOLDER: setting(requiredText, '/var/lib/shared-workspace', 'Where its disk is mounted.'),
  TOKENS: setting(
    requiredText,
    '/etc/shared-workspace/tokens',
    'Where the Secret is mounted. Each of its keys is a token that is accepted.',
  ),
  TLS: setting(text, '', 'Where a Secret with `tls.crt` and `tls.key` is mounted. Empty: no TLS.'),
  HOST: setting(text, '', 'The address to listen on. Empty: all of the pod.'),
  PORT: setting(number, '8080', 'The port to listen on.'),
  CAPACITY: setting(
    orNone(bytes),
    '',
    "How many bytes it keeps at most. Needed for an emptyDir, whose limit it cannot see. Empty: the disk's size.",
  ),
  RESERVE: setting(bytes, '256Mi', 'How many bytes of the disk stay free.'),
  MAX_BLOB: setting(bytes, '10Gi', 'How large one file, or one pack of small files, may be.'),
  MAX_UPLOADS: setting(number, '64', 'How many uploads may be under way; further ones wait.'),
  UPLOAD_IDLE: setting(duration, '15m', 'After how long without a byte an upload is given up.'),
  CLEANUP_EVERY: setting(duration, '6h', 'How often retention is applied.'),
  CLEANUP_DAYS: setting(days, '7', 'After how many days artifacts go.'),
} satisfies Definitions

export const PREFIX = 'COORDINATOR_'
export type SettingName = keyof typeof SETTINGS
export const settingEnv = (name: SettingName): string => PREFIX + name

export type Settings = ValuesOf<typeof SETTINGS>
