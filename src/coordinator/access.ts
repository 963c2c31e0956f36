/** Who may use the coordinator: whoever shows one of its tokens. */
import { createHash, timingSafeEqual } from 'node:crypto'
import { join } from 'node:path'
import { WorkspaceError } from '../errors.ts'
import { monotonic } from '../platform/clock.ts'
import * as fs from '../platform/fs.ts'

/** Whether a request with this Authorization header may go on. */
export type Access = (authorization: string | undefined) => Promise<boolean>

/** A Secret that is mounted is renewed in place: a new token is accepted, and an old one refused, after this. */
const REREAD_MS = 5000
const LEAST_LENGTH = 16

/**
 * Access by the tokens in `folder`, one a file, as a mounted Secret has them: several are accepted at once, so that
 * one can follow another.
 * @throws WorkspaceError USAGE where there is none, or one that is easily guessed
 */
export async function accessByTokens(folder: string): Promise<Access> {
  let tokens = await readTokens(folder)
  let readAt = monotonic()
  return async (authorization = '') => {
    if (monotonic() - readAt > REREAD_MS) {
      readAt = monotonic()
      tokens = await readTokens(folder).catch(() => [])
    }
    const given = digestOf(/^Bearer (\S+)$/i.exec(authorization)?.[1] ?? '')
    // Every token is compared, by digests of one length: the time tells nothing.
    return tokens.map((token) => timingSafeEqual(token, given)).includes(true)
  }
}

const digestOf = (token: string): Buffer => createHash('sha256').update(token).digest()

async function readTokens(folder: string): Promise<Buffer[]> {
  const tokens: string[] = []
  // What Kubernetes keeps there for itself begins with two dots.
  for (const { name } of await fs.list(folder))
    if (!name.startsWith('.')) tokens.push((await fs.readFile(join(folder, name))).toString().trim())
  const short = tokens.filter((token) => token.length < LEAST_LENGTH).length
  if (tokens.length > 0 && short === 0) return tokens.map(digestOf)
  throw new WorkspaceError('USAGE', `the coordinator has no good token in ${folder}`, {
    expected: `one or more files, each with a token of at least ${LEAST_LENGTH} characters`,
    found: tokens.length === 0 ? 'none' : `${short} that are shorter`,
    hint: 'make the Secret shared-workspace-coordinator as docs/coordinator.md says',
  })
}
