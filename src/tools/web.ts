/** What goes over the network: one GET, with redirects, and what its failure means. */
import { errno } from '../errors.ts'
import type { HttpAnswer } from '../platform/http-client.ts'
import { httpGetter } from '../platform/http-get.ts'

/** A failure that may pass: the server is not there, cut the connection, or has too much to do. */
export class Passing extends Error {
  /** When the server wants to be asked again, in ms. */
  readonly retryAfterMs: number

  constructor(why: string, options: { cause?: unknown; retryAfterMs?: number } = {}) {
    super(why, { cause: options.cause })
    this.retryAfterMs = options.retryAfterMs ?? 0
  }
}

/** A failure that will not pass: another mirror may do better. */
export class Refused extends Error {}

/** Credentials for one host; no other ever gets them. */
export interface Authorization {
  host: string
  /** The value of the header. */
  value: string
}

export interface WebOptions {
  /** Certificates in PEM form that servers are trusted by, beside the usual ones; '' for none. */
  ca: string
  authorization: Authorization | undefined
  /** A connection without a byte for so long is cut. */
  idleMs: number
}

export interface Web {
  /**
   * The answer at the end of all redirects: 200, 206 or 416, with the body to be read or destroyed.
   * @throws Passing, Refused; the signal's reason
   */
  get(url: URL, headers: Record<string, string>, signal: AbortSignal): Promise<HttpAnswer>
}

/** An answer's body. @throws Passing where it breaks off; the signal's reason */
export async function* bytesOf(
  { body }: HttpAnswer,
  signal: AbortSignal,
): AsyncGenerator<Buffer, void, void> {
  try {
    for await (const chunk of body as AsyncIterable<Buffer>) {
      signal.throwIfAborted()
      yield chunk
    }
  } catch (error) {
    throw failureOf(error, signal)
  } finally {
    body.destroy()
  }
}

const MAX_REDIRECTS = 10
const MAX_RETRY_AFTER_MS = 60_000

export function openWeb({ ca, authorization, idleMs }: WebOptions): Web {
  const send = httpGetter({ ca, idleMs })
  return {
    async get(first, headers, signal) {
      let url = first
      for (let redirects = 0; redirects <= MAX_REDIRECTS; redirects++) {
        const answer = await send(url, { ...headers, ...credentialsFor(url, authorization) }, signal).catch(
          (error: unknown) => {
            throw failureOf(error, signal)
          },
        )
        if ([200, 206, 416].includes(answer.status)) return answer
        answer.body.destroy()
        url = redirected(url, answer) ?? refusal(answer)
      }
      throw new Refused(`more than ${MAX_REDIRECTS} redirects`)
    },
  }
}

function credentialsFor(url: URL, authorization: Authorization | undefined): Record<string, string> {
  const may = authorization && url.protocol === 'https:' && url.host === authorization.host
  return may ? { authorization: authorization.value } : {}
}

/** Where an answer sends to; undefined where it is no redirect. */
function redirected(from: URL, { status, headers }: HttpAnswer): URL | undefined {
  if (![301, 302, 303, 307, 308].includes(status)) return undefined
  const to = URL.parse(headers.location ?? '', from.href)
  if (!to || !/^https?:$/.test(to.protocol))
    throw new Refused(`a redirect to ${headers.location ?? 'nowhere'}`)
  if (from.protocol === 'https:' && to.protocol === 'http:')
    throw new Refused(`a redirect from https to ${shown(to)}, which anybody on the way could change`)
  return to
}

function refusal({ status, headers }: HttpAnswer): never {
  if (![408, 425, 429].includes(status) && status < 500) throw new Refused(`status ${status}`)
  throw new Passing(`status ${status}`, { retryAfterMs: retryAfter(headers['retry-after']) })
}

/** Only where it is given in seconds: a date is by the clock of another machine. */
const retryAfter = (value = ''): number =>
  /^\d+$/.test(value) ? Math.min(MAX_RETRY_AFTER_MS, Number(value) * 1000) : 0

/** What a failed request or a body that broke off means. */
function failureOf(error: unknown, signal: AbortSignal): unknown {
  if (signal.aborted) return signal.reason
  if (error instanceof Passing || error instanceof Refused) return error
  const why = error instanceof Error ? error.message || errno(error) || error.name : String(error)
  return isAboutTrust(error)
    ? new Refused(`the server's certificate is not trusted: ${why}`)
    : new Passing(why, { cause: error })
}

/** As Node calls what is wrong with a certificate; asked again, it would be the same. */
function isAboutTrust(error: unknown): boolean {
  const code = error instanceof Error && 'code' in error ? String(error.code) : ''
  return /CERT|SELF_SIGNED|UNABLE_TO_VERIFY|UNABLE_TO_GET_ISSUER|HOSTNAME/.test(code)
}

/** A URL as it may be shown: user, password and query can be secrets. */
export const shown = ({ origin, pathname }: URL): string => origin + pathname
