/** What a fleet is on the volume, version 1: what its leader wants, and what its consumers do. */
import * as z from '../zod.ts'
import { name as consumerName } from '../schemas.ts'
import { toolName, toolPlatform, toolVersion } from '../tools/index.ts'

/** Shorter than other names and without dots, so that it goes into the name of a lock. */
export const fleetName = z
  .string()
  .check(
    z.regex(
      /^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$/,
      'expected 1 to 63 letters, digits, "_" and "-", starting with a letter or digit',
    ),
  )

/** The lock of those who lead a fleet. */
export const fleetLock = (fleet: string): string => `fleet.${fleet}`

export const TARGET_PHASES = ['upgrading', 'halted', 'rolling-back', 'done', 'rolled-back'] as const
export type TargetPhase = (typeof TARGET_PHASES)[number]

/** What the leader wants: all that consumers go by. Each change is a whole new one. */
export const Target = z.object({
  v: z.literal(1),
  /** A uuid, new for each leader. Who repeats it has seen this target, on this file system. */
  call: z.uuid(),
  tool: toolName,
  version: toolVersion,
  /** What the fleet was on, and goes back to; none where it had no consumers. */
  previous: z.exactOptional(toolVersion),
  phase: z.enum(TARGET_PHASES),
  /** Who may be on `version` while the upgrade or the roll-back is under way. */
  switched: z.array(consumerName),
  /** Who halted it, and why. */
  failed: z.array(consumerName),
  reason: z.string(),
  /** Which error that was: SERVICE_FAILED or UPGRADE_TIMED_OUT; empty where there was none. */
  code: z.enum(['', 'SERVICE_FAILED', 'UPGRADE_TIMED_OUT']),
  /** The task that leads, and when it said this, by its clock: for people. */
  by: z.string(),
  at: z.string(),
})
export type Target = z.infer<typeof Target>

/** The version that a consumer is to run; undefined where it is its own to say. */
export function versionFor(
  { phase, version, previous, switched }: Target,
  consumer: string,
): string | undefined {
  return phase === 'done' || switched.includes(consumer) ? version : previous
}

export const CONSUMER_PHASES = ['starting', 'healthy', 'stopping', 'failed', 'stopped'] as const
export type ConsumerPhase = (typeof CONSUMER_PHASES)[number]

/** What a consumer says of itself. */
export const State = z.object({
  v: z.literal(1),
  phase: z.enum(CONSUMER_PHASES),
  tool: toolName,
  version: toolVersion,
  platform: toolPlatform,
  /** The call of the target that it saw last; empty for none. */
  call: z.string(),
  /** Why it failed. */
  message: z.string(),
  /** How long it takes at most, in ms, to stop one version and to find out whether another is healthy. */
  switchMs: z.number().check(z.positive()),
  pod: z.object({ namespace: z.string(), name: z.string(), uid: z.string() }),
  node: z.string(),
  at: z.string(),
})
export type State = z.infer<typeof State>
