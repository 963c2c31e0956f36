/** What the agent takes: its settings, by which its Deployment is made and its environment read. */
import { duration, optionalName, orNone, requiredText, text, understood } from '../schemas.ts'
import { setting, type Definitions, type ValuesOf } from '../settings.ts'
import { toolName, toolVersion } from '../tools/layout.ts'
import { fleetName } from '../upgrades/format.ts'

export const TOOL_AGENT = 'tool-agent'
/** In the image, beside the steps, with which it shares code. */
export const PROGRAM = '/opt/shared-workspace/steps/tool-agent.mjs'

/** How an agent finds out whether its worker is healthy. */
export type Health = { url: URL } | { script: string }

const health = understood((text): Health | undefined => {
  if (!text.startsWith('http://')) return text ? { script: text } : undefined
  return URL.canParse(text) ? { url: new URL(text) } : undefined
}, 'expected a URL that begins with http://, or a command for sh')

/** By the names of the environment variables, which follow `AGENT_`. */
export const SETTINGS = {
  FOLDER: setting(requiredText, '/workspace/shared', 'Where the shared volume is mounted.'),
  OWN_FOLDER: setting(
    text,
    '',
    "Where the consumer's own folder is mounted by itself, so that nothing else has to be writable. Empty: `fleets/<fleet>/consumers/<name>` of the volume.",
  ),
  VOLUME_ID: setting(text, '', 'The id of the volume, where another must not be taken for it. Empty: any.'),
  FLEET: setting(fleetName, '', 'The fleet: all workers of one tool that are upgraded together. Required.'),
  NAME: setting(optionalName, '', "The consumer's name in the fleet. Empty: the pod's name."),
  TOOL: setting(toolName, '', 'The tool. Required.'),
  VERSION: setting(
    orNone(toolVersion),
    '',
    'The version to run for as long as the fleet was never upgraded. Empty: only what the fleet is told.',
  ),
  HEALTH: setting(
    health,
    '',
    'How to tell whether the worker is healthy: a URL that answers with 2xx or 3xx (`http://127.0.0.1:8080/healthz`), or a command for `sh` that ends with 0. Required.',
  ),
  HEALTH_TIMEOUT: setting(duration, '60s', 'How long a worker may take from its start until it is healthy.'),
  STOP_TIMEOUT: setting(duration, '30s', 'How long a worker may take to end after SIGTERM, before SIGKILL.'),
} satisfies Definitions

export const PREFIX = 'AGENT_'
export type SettingName = keyof typeof SETTINGS
export const settingEnv = (name: SettingName): string => PREFIX + name

export type Settings = ValuesOf<typeof SETTINGS>

/** What the worker finds in its environment, beside the agent's own and with the tool first in PATH. */
export const WORKER_ENV = {
  TOOL_NAME: 'the tool',
  TOOL_VERSION: 'its version',
  TOOL_PATH: 'the folder with its binaries, which is first in `PATH`',
  WORK_FOLDER: "the consumer's own folder on the volume, which the worker starts in",
} as const
