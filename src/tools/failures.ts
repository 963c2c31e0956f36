import { WorkspaceError } from '../errors.ts'

export interface MirrorFailure {
  url: string
  why: string
  /** Whether it gave a whole file, of another digest: `why` is that. */
  wrongContent: boolean
}

/** No mirror gave what was expected. */
export function mirrorsFailed(
  failures: readonly MirrorFailure[],
  sha256: string | undefined,
): WorkspaceError {
  const found = failures.map(({ url, why }) => `${url}: ${why}`).join('; ')
  if (failures.some(({ wrongContent }) => wrongContent))
    return new WorkspaceError('DIGEST_MISMATCH', 'what was downloaded is not what was expected', {
      expected: `sha256:${sha256}`,
      found,
      hint: 'compare the digest with what the publisher says; if it is right, somebody changed the file on the way or on the server',
    })
  return new WorkspaceError('SOURCE_UNREACHABLE', 'no source has what is to be downloaded', {
    expected: 'an answer with the file from at least one URL',
    found,
    hint: 'look at the URLs, at HTTPS_PROXY and NO_PROXY, and at SHARED_WORKSPACE_TOOL_CA for a private certificate authority',
  })
}
