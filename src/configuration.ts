/**
 * What a platform engineer sets once for a namespace: one table, from which the Tasks' environment, the README's
 * table and the reading of it all come. A parameter of a step wins over the pod's environment, that over the
 * ConfigMap, and that over the default.
 */
import * as z from './zod.ts'
import { days, flag, oneOf, orNone, text, understood } from './schemas.ts'

export const STRATEGIES = ['pvc', 's3', 'coordinator'] as const
export const LOCK_BACKENDS = ['volume', 'lease'] as const

/** The ConfigMap that steps read in their namespace; it need not exist. */
export const CONFIG_MAP = 'shared-workspace'

/** One or more strategies in the order in which they are tried. */
export const strategies = understood(
  (value) => {
    const given = value.split(/[\s,]+/).filter(Boolean)
    const known = given.every((name): name is (typeof STRATEGIES)[number] =>
      STRATEGIES.some((strategy) => strategy === name),
    )
    return known && given.length > 0 && new Set(given).size === given.length ? given : undefined
  },
  `expected one or more of ${STRATEGIES.join(', ')}, each once and separated by commas`,
)

interface Definition<T> {
  description: string
  default: string
  schema: z.ZodMiniType<T>
}

const setting = <T>(schema: z.ZodMiniType<T>, description: string, fallback = ''): Definition<T> => ({
  description,
  default: fallback,
  schema,
})

const url = orNone(z.url({ protocol: /^https?$/, error: 'expected an http or https URL' }))

/** By the names that follow `SHARED_WORKSPACE_` in the environment and in the ConfigMap. */
export const CONFIGURATION = {
  ARTIFACT_STRATEGY: setting(
    strategies,
    'Where artifacts are kept: `pvc`, `s3` or `coordinator`. Several, separated by commas, are tried in this order.',
    'pvc',
  ),
  ARTIFACT_CLEANUP_DAYS: setting(days, 'After how many days artifacts go.', '7'),
  ARTIFACT_S3_BUCKET: setting(text, 'The bucket. It has to exist.'),
  ARTIFACT_S3_PREFIX: setting(text, 'What the keys begin with, such as `ci/`.'),
  ARTIFACT_S3_ENDPOINT: setting(url, 'The URL of an S3-compatible server. Empty for AWS.'),
  ARTIFACT_S3_REGION: setting(text, 'The region.', 'us-east-1'),
  ARTIFACT_S3_PATH_STYLE: setting(
    orNone(flag),
    '`true` puts the bucket into the path, `false` into the host name. Empty: into the path where an endpoint is set.',
  ),
  ARTIFACT_S3_CA: setting(
    text,
    'Certificates in PEM form that the server is trusted by, beside the usual ones.',
  ),
  ARTIFACT_COORDINATOR_URL: setting(
    url,
    "The coordinator's URL.",
    'http://shared-workspace-coordinator:8080',
  ),
  ARTIFACT_COORDINATOR_CA: setting(
    text,
    'Certificates in PEM form that the coordinator is trusted by, beside the usual ones.',
  ),
  LOCK_BACKEND: setting(
    oneOf(LOCK_BACKENDS),
    'Where locks live: `volume`, on the shared volume, or `lease`, as Leases of the Kubernetes API.',
    'volume',
  ),
  TOOL_CA: setting(
    text,
    'Certificates in PEM form that the servers of tools are trusted by, beside the usual ones.',
  ),
} satisfies Record<string, Definition<unknown>>

export type ConfigurationName = keyof typeof CONFIGURATION

/** Credentials: never parameters, never in a log. By the environment variable that hands each to a step. */
export const SECRETS = {
  S3_ACCESS_KEY_ID: { secret: 'shared-workspace-s3', key: 'access-key-id' },
  S3_SECRET_ACCESS_KEY: { secret: 'shared-workspace-s3', key: 'secret-access-key' },
  S3_SESSION_TOKEN: { secret: 'shared-workspace-s3', key: 'session-token' },
  COORDINATOR_TOKEN: { secret: 'shared-workspace-coordinator', key: 'token' },
  TOOL_AUTHORIZATION: { secret: 'shared-workspace-tools', key: 'authorization' },
  TOOL_AUTHORIZATION_HOST: { secret: 'shared-workspace-tools', key: 'host' },
} as const

export type SecretName = keyof typeof SECRETS

const isOfTools = (name: string): boolean => name.startsWith('TOOL_')

/** What steps that store or read artifacts take. */
export const ARTIFACT_CONFIGURATION = [
  ...(Object.keys(CONFIGURATION) as ConfigurationName[]).filter((name) => name.startsWith('ARTIFACT_')),
  ...(Object.keys(SECRETS) as SecretName[]).filter((name) => !isOfTools(name)),
]

/** What steps that download tools take. */
export const TOOL_CONFIGURATION = [
  ...(Object.keys(CONFIGURATION) as ConfigurationName[]),
  ...(Object.keys(SECRETS) as SecretName[]),
].filter(isOfTools)

export type Configuration = {
  [K in ConfigurationName]: z.output<(typeof CONFIGURATION)[K]['schema']>
} & { [K in SecretName]: string | undefined }

/** The name in the pod's environment, and the key in the ConfigMap. */
export const settingName = (name: ConfigurationName): string => `SHARED_WORKSPACE_${name}`
/** The variable that carries the ConfigMap's value to a step. */
export const fromConfigMap = (name: ConfigurationName): string => `CONFIG_${name}`

/** Reads the configuration; what is not of its form goes to `report`, with where it came from. */
export function readConfiguration(
  env: Record<string, string | undefined>,
  report: (problem: string) => void,
): Configuration {
  const values: Record<string, unknown> = {}
  for (const name of Object.keys(CONFIGURATION) as ConfigurationName[]) {
    const here = env[settingName(name)]
    const given = here || env[fromConfigMap(name)] || CONFIGURATION[name].default
    const result = CONFIGURATION[name].schema.safeParse(given)
    if (result.success) values[name] = result.data
    else {
      const origin = here ? 'the environment' : `the ConfigMap ${CONFIG_MAP}`
      for (const { message } of result.error.issues)
        report(`${settingName(name)} in ${origin}: ${message}, found ${JSON.stringify(given)}`)
    }
  }
  for (const name of Object.keys(SECRETS)) values[name] = env[name] || undefined
  return values as Configuration
}
