/** Who is on what, as data and as lines for people. */
import { describeLock, type LockBackend } from '../locks/index.ts'
import type { Layout } from '../volume/layout.ts'
import type { Liveness, Verdict } from '../volume/liveness.ts'
import { listConsumers } from './consumers.ts'
import { fleetLock, versionFor, type State, type Target } from './format.ts'
import { readTarget } from './pointers.ts'

/** The status document of a fleet, version 1. */
export interface FleetStatus {
  v: 1
  fleet: string
  /** The task that leads it now; empty for none. */
  leader: string
  target?: Target
  consumers: (State & {
    name: string
    /** The version that it is to be on. */
    wanted: string
    /** Whether its pod is there, as far as the API says. */
    there: Verdict['state']
  })[]
}

export async function readFleet(
  layout: Layout,
  fleet: string,
  { locks, liveness }: { locks: LockBackend; liveness: Liveness },
): Promise<FleetStatus> {
  const target = await readTarget(layout, fleet)
  const { holders } = await describeLock(locks, fleetLock(fleet))
  const consumers = await listConsumers(layout, fleet)
  return {
    v: 1,
    fleet,
    leader: holders[0]?.request.by.taskRun.name ?? '',
    ...(target ? { target } : {}),
    consumers: await Promise.all(
      consumers.map(async ({ name, state }) => ({
        name,
        ...state,
        wanted: (target && versionFor(target, name)) ?? state.version,
        there: (await liveness({ kind: 'Pod', ...state.pod })).state,
      })),
    ),
  }
}

export function formatFleet({ fleet, leader, target, consumers }: FleetStatus): string {
  const head = target
    ? `fleet ${fleet}: ${target.tool} from ${target.previous ?? 'nothing'} to ${target.version} is ${target.phase}`
    : `fleet ${fleet}: no upgrade yet`
  const rows = consumers.map(({ name, version, phase, wanted, there, node, at, message }) => [
    name,
    there === 'gone' ? `${phase}, its pod is gone` : phase,
    version === wanted ? version : `${version}, to be on ${wanted}`,
    node,
    at,
    message,
  ])
  const widths = rows[0]?.map((_, column) => Math.max(...rows.map((row) => row[column]!.length))) ?? []
  return [
    head,
    `led by ${leader || 'nobody'}`,
    ...(target?.reason ? [`because ${target.reason}`] : []),
    ...rows.map((row) => `  ${row.map((cell, i) => cell.padEnd(widths[i]!)).join('  ')}`.trimEnd()),
    ...(rows.length === 0 ? ['  no consumers'] : []),
  ].join('\n')
}
