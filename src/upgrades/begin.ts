/** With which target a leader begins. Pure. */
import { WorkspaceError } from '../errors.ts'
import type { Consumer } from './consumers.ts'
import type { Target } from './format.ts'

/** Who leads, for the target. */
export interface Leader {
  fleet: string
  /** A new uuid. */
  call: string
  by: string
  at: string
}

/** What the fleet is on where nothing is under way. */
const settled = (target: Target): string | undefined =>
  target.phase === 'done' ? target.version : target.phase === 'rolled-back' ? target.previous : undefined

const NO_FAILURE: Pick<Target, 'failed' | 'reason' | 'code'> = { failed: [], reason: '', code: '' }

/**
 * The target of an upgrade to `version`, new or gone on with.
 * @returns undefined where the fleet is on it already
 * @throws WorkspaceError UPGRADE_HALTED where consumers are in the middle of another one, or on several versions;
 * USAGE where the fleet is of another tool
 */
export function beginUpgrade(
  found: Target | undefined,
  consumers: readonly Consumer[],
  { tool, version }: { tool: string; version: string },
  { fleet, ...leader }: Leader,
): Target | undefined {
  requireTool(found?.tool ?? consumers[0]?.state.tool, tool, fleet)
  if (found && settled(found) === version) return undefined
  const isUnderWay = found && settled(found) === undefined
  // A roll-back that was left in the middle goes on, too.
  if (isUnderWay && found.version === version)
    return found.phase === 'rolling-back'
      ? { ...found, ...leader }
      : { ...found, ...leader, ...NO_FAILURE, phase: 'upgrading' }
  if (isUnderWay && consumers.some(({ name }) => found.switched.includes(name)))
    throw inTheMiddle(fleet, found, version)
  const previous = found ? (settled(found) ?? found.previous) : commonVersion(fleet, consumers)
  return {
    v: 1,
    tool,
    version,
    ...(previous ? { previous } : {}),
    phase: 'upgrading',
    switched: [],
    ...NO_FAILURE,
    ...leader,
  }
}

/**
 * The target of a roll-back of what was done last, new or gone on with.
 * @returns undefined where the fleet was rolled back already
 * @throws WorkspaceError UPGRADE_HALTED where there is nothing to go back to; USAGE where the fleet is of another tool
 */
export function beginRollBack(
  found: Target | undefined,
  consumers: readonly Consumer[],
  tool: string,
  { fleet, ...leader }: Leader,
): Target | undefined {
  requireTool(found?.tool, tool, fleet)
  if (found?.phase === 'rolled-back') return undefined
  if (!found?.previous) throw nothingBefore(fleet, found)
  const switched = found.phase === 'done' ? consumers.map(({ name }) => name) : found.switched
  return { ...found, ...leader, switched, phase: 'rolling-back' }
}

/** The target to whoever asked for the version that the fleet is on: it matters no more that it went back to it. */
export const settledOn = (found: Target, version: string): Target =>
  found.phase === 'rolled-back' ? { ...found, ...NO_FAILURE, version, phase: 'done' } : found

/** What all consumers of a fleet without a target run; undefined where there are none. */
function commonVersion(fleet: string, consumers: readonly Consumer[]): string | undefined {
  const versions = [...new Set(consumers.map(({ state }) => state.version))]
  if (versions.length <= 1) return versions[0]
  throw new WorkspaceError('UPGRADE_HALTED', `the consumers of ${fleet} are on several versions`, {
    expected: 'one version, to be upgraded from and to be rolled back to',
    found: consumers.map(({ name, state }) => `${name} on ${state.version}`).join(', '),
    hint: 'start all agents of the fleet with one AGENT_VERSION, then upgrade',
  })
}

function requireTool(found: string | undefined, tool: string, fleet: string): void {
  if (found === undefined || found === tool) return
  throw new WorkspaceError('USAGE', `the fleet ${fleet} is not one of ${tool}`, {
    expected: `the tool ${found}`,
    found: tool,
    hint: 'give each tool a fleet of its own',
  })
}

function inTheMiddle(fleet: string, { version, phase, switched }: Target, wanted: string): WorkspaceError {
  return new WorkspaceError('UPGRADE_HALTED', `the fleet ${fleet} is in the middle of another upgrade`, {
    expected: `nobody on ${version} before an upgrade to ${wanted}`,
    found: `${phase}, with ${switched.join(', ')} on ${version}`,
    hint: `go on with version ${version}, or go back first with mode: roll-back`,
  })
}

const nothingBefore = (fleet: string, found: Target | undefined): WorkspaceError =>
  new WorkspaceError('UPGRADE_HALTED', `the fleet ${fleet} has nothing to go back to`, {
    expected: 'an upgrade from one version to another',
    found: found ? `${found.phase} on ${found.version}, which it started with` : 'no upgrade yet',
    hint: 'upgrade to the version that it should be on',
  })
