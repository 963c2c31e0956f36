/** Names of artifacts: `<place>/<run-id>/<task>/<output>`, and what users may write for one. */
import { WorkspaceError } from '../errors.ts'
import { DIGEST } from '../stores/digest.ts'
import type { Digest } from '../stores/store.ts'
import { checkName } from '../volume/layout.ts'

export interface Reference {
  task: string
  output: string
  /** Given by the long form only: where it is kept (`workspace://<volume-id>`, `s3://<bucket>/<prefix>`), and its run. */
  place?: string
  runId?: string
  /** Given where the reference is pinned. */
  digest?: Digest
}

export function uriOf(name: { place: string; runId: string; task: string; output: string }): string {
  return `${name.place}/${name.runId}/${name.task}/${name.output}`
}

/** A uri's scheme, and what says where it is kept. */
const PLACE = /^[a-z][a-z0-9+.-]*:\/\/[^/]+/

/**
 * Reads `<task>/<output>` or a whole uri, either with or without `@sha256:…`.
 * @throws WorkspaceError USAGE for another form, UNSAFE_PATH for names that would leave their folders
 */
export function parseReference(text: string): Reference {
  const [whole = '', digest, ...more] = text.split('@')
  const start = PLACE.exec(whole)?.[0]
  const parts = (start === undefined ? whole : whole.slice(start.length + 1)).split('/')
  const wellFormed = more.length === 0 && (start === undefined ? parts.length === 2 : parts.length >= 3)
  // Names first: "a/../b" has one part too many, and what is wrong with it is not their number.
  for (const part of parts)
    if (part === '.' || part === '..') checkName(part, 'part of the artifact reference')
  if (!wellFormed || (digest !== undefined && !DIGEST.test(digest))) throw notAReference(text)
  const [output = '', task = '', runId = '', ...prefix] = parts.toReversed()
  checkName(output, 'output')
  checkName(task, 'task')
  if (start !== undefined) checkName(runId, 'run id')
  return {
    task,
    output,
    ...(start === undefined ? {} : { place: [start, ...prefix.toReversed()].join('/'), runId }),
    ...(digest === undefined ? {} : { digest }),
  }
}

function notAReference(text: string): WorkspaceError {
  return new WorkspaceError('USAGE', `${JSON.stringify(text)} does not name an artifact`, {
    expected:
      '<task>/<output> or the uri of an artifact such as workspace://<volume-id>/<run-id>/<task>/<output>, then optionally @sha256:<64 digits>',
    found: text,
    hint: 'take the result "artifact" of the task that stored it',
  })
}
