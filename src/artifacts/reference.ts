/** Names of artifacts: `workspace://<volume-id>/<run-id>/<task>/<output>`, and what users may write for one. */
import { WorkspaceError } from '../errors.ts'
import { DIGEST } from '../stores/digest.ts'
import type { Digest } from '../stores/store.ts'
import { checkName } from '../volume/layout.ts'

export interface ArtifactName {
  volumeId: string
  runId: string
  task: string
  output: string
}

export interface Reference {
  task: string
  output: string
  /** Given by the long form only. */
  volumeId?: string
  runId?: string
  /** Given where the reference is pinned. */
  digest?: Digest
}

const SCHEME = 'workspace://'

export function uriOf(name: ArtifactName): string {
  return `${SCHEME}${name.volumeId}/${name.runId}/${name.task}/${name.output}`
}

/**
 * Reads `<task>/<output>` or a whole uri, either with or without `@sha256:…`.
 * @throws WorkspaceError USAGE for another form, UNSAFE_PATH for names that would leave the volume's folders
 */
export function parseReference(text: string): Reference {
  const [place = '', digest, ...more] = text.split('@')
  const isUri = place.startsWith(SCHEME)
  const parts = (isUri ? place.slice(SCHEME.length) : place).split('/')
  const wellFormed = parts.length === (isUri ? 4 : 2) && more.length === 0
  // Names first: "a/../b" has one part too many, and what is wrong with it is not their number.
  for (const part of parts)
    if (part === '.' || part === '..') checkName(part, 'part of the artifact reference')
  if (!wellFormed || (digest !== undefined && !DIGEST.test(digest))) throw notAReference(text)
  const [output = '', task = '', runId, volumeId] = parts.toReversed()
  checkName(output, 'output')
  checkName(task, 'task')
  if (runId !== undefined) checkName(runId, 'run id')
  return {
    task,
    output,
    ...(volumeId === undefined ? {} : { volumeId }),
    ...(runId === undefined ? {} : { runId }),
    ...(digest === undefined ? {} : { digest }),
  }
}

function notAReference(text: string): WorkspaceError {
  return new WorkspaceError('USAGE', `${JSON.stringify(text)} does not name an artifact`, {
    expected:
      '<task>/<output> or workspace://<volume-id>/<run-id>/<task>/<output>, then optionally @sha256:<64 digits>',
    found: text,
    hint: 'take the result "artifact" of the task that stored it',
  })
}
