/** What the outputs of one run and of the next have in common: the name that the newest good artifact is kept of. */
import { ORIGIN_ANNOTATIONS } from '../artifacts/format.ts'

/**
 * What stands at the end of a run's name to tell it from other runs: five characters that Kubernetes made up, or
 * whatever has a digit in it, such as `-42`, `-v1` and `-20260131`.
 */
const DISTINCTION = /(-([bcdfghjklmnpqrstvwxz2456789]{5}|[^-]*\d[^-]*))+$/

/** `<namespace>/<run>/<task>/<output>`, without what tells runs of the same pipeline apart. */
export function artifactName(annotations: Record<string, string>, task: string, output: string): string {
  const namespace = annotations[ORIGIN_ANNOTATIONS.namespace] ?? ''
  const run = annotations[ORIGIN_ANNOTATIONS.runName] ?? ''
  return [namespace, run.replace(DISTINCTION, ''), taskName(annotations, task), output].join('/')
}

function taskName(annotations: Record<string, string>, task: string): string {
  // A TaskRun outside of a pipeline.
  if (task === annotations[ORIGIN_ANNOTATIONS.taskRunName]) return task.replace(DISTINCTION, '')
  // A matrixed task is <task>.<TaskRun>, and the TaskRun's name ends with its number among the combinations.
  const [pipelineTask = '', taskRun] = task.split('.')
  return taskRun === undefined ? pipelineTask : `${pipelineTask}.${/\d+$/.exec(taskRun)?.[0] ?? taskRun}`
}
