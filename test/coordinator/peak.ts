import { readFileSync } from 'node:fs'

/** The most that a process ever had in memory, in MiB; unlike its resource usage, not what its parent had. */
export const peakOf = (pid: number | 'self'): number =>
  Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))![1]) / 1024
