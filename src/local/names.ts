import { createHash } from 'node:crypto'

const LONGEST = 63

/** A TaskRun's name, as Tekton makes it: where it would be too long, a hash stands for the end of the run's name. */
export function childName(run: string, suffix: string): string {
  if (run.length + suffix.length <= LONGEST) return run + suffix
  const hash = createHash('md5').update(run).digest('hex')
  return run.slice(0, Math.max(1, LONGEST - hash.length - suffix.length)) + hash + suffix
}
