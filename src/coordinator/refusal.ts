import { toWorkspaceError, type ErrorCode } from '../errors.ts'
import type { Refused } from '../stores/coordinator/protocol.ts'

/** An answer that is no failure of the product: a name that is taken, an offset that is not the server's. */
export class Refusal extends Error {
  readonly status: number
  readonly headers: Record<string, string>

  constructor(status: number, message: string, headers: Record<string, string> = {}) {
    super(message)
    this.status = status
    this.headers = headers
  }
}

const STATUS: Partial<Record<ErrorCode, number>> = {
  USAGE: 400,
  UNSAFE_PATH: 400,
  DIGEST_MISMATCH: 400,
  ARTIFACT_NOT_FOUND: 404,
  NO_SPACE: 507,
}

/** What to answer where a request failed with `error`. */
export function refusalOf(error: unknown): {
  status: number
  headers: Record<string, string>
  body: Refused
} {
  if (error instanceof Refusal) {
    const { status, headers, message } = error
    return { status, headers, body: { message } }
  }
  const { code, message, expected, found, hint } = toWorkspaceError(error)
  return { status: STATUS[code] ?? 500, headers: {}, body: { message, code, expected, found, hint } }
}
