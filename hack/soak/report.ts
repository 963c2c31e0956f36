/** What a soak says in the end: for people, and for programs. */
import { arch, platform, release } from 'node:os'
import { mountOf } from '../../src/platform/mounts.ts'
import type { Soaked, SoakOptions } from './soak.ts'

/** Evidence is long: as many violations of each rule are reported whole. */
const SHOWN = 5

export type Report = Awaited<ReturnType<typeof reportOf>>

export async function reportOf(soaked: Soaked, options: SoakOptions) {
  const { workers, locks, seed, ttlMs, patienceMs, folders, cut } = options
  const { violations, seconds, ...findings } = soaked
  return {
    version: 1,
    machine: { node: process.version, system: `${platform()} ${release()} ${arch()}` },
    mounts: await Promise.all(folders.map(async (folder) => (await mountOf(folder)).type)),
    options: { workers, locks, seed, ttlMs, patienceMs, cut: cut !== undefined },
    seconds: Math.round(seconds * 10) / 10,
    acquisitionsPerSecond: Math.round((10 * findings.acquisitions) / seconds) / 10,
    ...findings,
    violations: violations.length,
    shown: [...Map.groupBy(violations, ({ rule }) => rule).values()].flatMap((ofRule) =>
      ofRule.slice(0, SHOWN),
    ),
  }
}

export function textOf(report: Report): string {
  const { options, faults, mounts, shown } = report
  const count = (n: number): string => n.toLocaleString('en')
  return [
    `soak: ${count(report.acquisitions)} acquisitions in ${report.seconds} s, ${report.acquisitionsPerSecond} a second`,
    `  on ${mounts.join(' and ')}, by ${options.workers} processes, three of which share ${options.locks} locks at a time, seed ${options.seed}`,
    `  ${faults.kill} killed, ${faults.pause} stopped for longer than the ttl of ${options.ttlMs / 1000} s, ${faults.cancel} cancelled and killed later, ${faults.cut} cuts of a mount`,
    `  ${report.takeovers} takeovers, ${report.droppedWaiters} waiters dropped, ${report.fencedWrites} late writes and ${report.staleReleases} late releases refused, ${report.meddling} releases of holds of others tried`,
    `  longest wait of a process that was left alone: ${(report.longestWaitMs / 1000).toFixed(1)} s`,
    `  violations: ${report.violations || 'none'}`,
    ...shown.map(({ rule, lock, what }) => `    ${rule}${lock ? ` (lock ${lock})` : ''}: ${what}`),
    ...(report.violations > shown.length ? ['    …'] : []),
  ].join('\n')
}
