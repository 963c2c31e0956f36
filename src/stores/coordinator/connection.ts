/** Requests to a coordinator, and what its answers mean. */
import { WorkspaceError, ERRORS, type ErrorCode } from '../../errors.ts'
import type { Emit } from '../../events.ts'
import { parseJson } from '../../json.ts'
import { httpClient, type HttpAnswer, type HttpRequest } from '../../platform/http-client.ts'
import { newPatience, Passing, type Patience } from '../patience.ts'
import { PROTOCOL, PROTOCOL_HEADER, Refused } from './protocol.ts'

export interface ConnectionOptions {
  /** Such as http://shared-workspace-coordinator:8080. */
  url: string
  token: string
  /** Certificates in PEM form that are trusted beside the usual ones; '' for none. */
  ca: string
  emit: Emit
  signal?: AbortSignal
  /** How long nothing may get better before a try is the last, in ms. */
  patienceMs?: number
}

/** An answer whose body has been read. */
export interface Answer {
  status: number
  headers: HttpAnswer['headers']
  body: Buffer
  /** Whether an earlier try was sent whose answer got lost: it may have done what this one was refused. */
  again: boolean
}

export interface Connection {
  place: string
  patience(): Patience
  /** One try. @throws Passing where another may do better; WorkspaceError where none will */
  open(request: HttpRequest, fine: readonly number[]): Promise<HttpAnswer>
  /** As many tries as patience has, with the body read. */
  ask(request: HttpRequest, fine: readonly number[], patience?: Patience): Promise<Answer>
}

/** A restart of the coordinator's pod, with its disk moving to another node, takes about as long. */
const PATIENCE_MS = 60_000
const IDLE_MS = 30_000
const HINT = 'look at the Deployment shared-workspace-coordinator, its Service, and network policies between'

export function connectionTo(options: ConnectionOptions): Connection {
  const { token, ca, emit, signal, patienceMs = PATIENCE_MS } = options
  const url = new URL(options.url)
  const place = `coordinator://${url.host}`
  const send = httpClient({ url, ca, idleMs: IDLE_MS, signal })
  const base = url.pathname.replace(/\/$/, '')
  const headers = { authorization: `Bearer ${token.trim()}` }

  const open: Connection['open'] = async (request, fine) => {
    const answer = await send({
      ...request,
      path: base + request.path,
      headers: { ...headers, ...request.headers },
    }).catch((error: unknown) => {
      throw failedToSend(place, error)
    })
    if (fine.includes(answer.status) && answer.headers[PROTOCOL_HEADER] === PROTOCOL) return answer
    throw refusal(place, answer, await readAll(answer).catch(() => Buffer.alloc(0)))
  }
  const expected = 'a coordinator that answers'
  const patience = () => newPatience({ place, patienceMs, expected, hint: HINT, emit, signal })
  return {
    place,
    patience,
    open,
    async ask(request, fine, waiting = patience()) {
      for (let again = false; ; again = true) {
        try {
          const answer = await open(request, fine)
          const body = await readAll(answer)
          return { status: answer.status, headers: answer.headers, body, again }
        } catch (error) {
          await waiting.after(error)
        }
      }
    },
  }
}

/** @throws Passing where the connection is cut before the body's end */
async function readAll({ body }: HttpAnswer): Promise<Buffer> {
  const chunks: Buffer[] = []
  try {
    for await (const chunk of body as AsyncIterable<Buffer>) chunks.push(chunk)
  } catch (cause) {
    throw new Passing(reasonOf(cause), { cause })
  }
  return Buffer.concat(chunks)
}

/** Failures of a connection that no second try mends. */
const CERTIFICATE = /^(ERR_TLS_|CERT_|UNABLE_TO_|SELF_SIGNED_|DEPTH_ZERO_|ERR_SSL_|EPROTO$|HOSTNAME_)/

function failedToSend(place: string, error: unknown): Error {
  const code = error instanceof Error && 'code' in error ? String(error.code) : ''
  if (error instanceof Error && error.name === 'AbortError') return error
  if (code === 'ENOTFOUND')
    return new WorkspaceError('STORE_UNAVAILABLE', `there is no ${place}`, {
      expected: 'a name that resolves to an address',
      found: reasonOf(error),
      hint: 'install the coordinator in this namespace, or set SHARED_WORKSPACE_ARTIFACT_COORDINATOR_URL',
      cause: error,
    })
  if (CERTIFICATE.test(code))
    return new WorkspaceError('STORE_UNAVAILABLE', `${place} cannot be trusted: ${reasonOf(error)}`, {
      expected: 'TLS with a certificate of an authority that is known here',
      found: code,
      hint: 'set SHARED_WORKSPACE_ARTIFACT_COORDINATOR_CA to the certificate of its authority',
      cause: error,
    })
  return new Passing(reasonOf(error), { cause: error })
}

/** What failed, in words; a failure to reach any of several addresses has them inside. */
export function reasonOf(error: unknown): string {
  if (error instanceof AggregateError && error.errors.length > 0) return reasonOf(error.errors[0])
  return error instanceof Error ? error.message : String(error)
}

const TRY_AGAIN = [408, 429, 500, 502, 503, 504]

function refusal(place: string, { status, headers }: HttpAnswer, body: Buffer): Error {
  const { data } = Refused.safeParse(parseJson(body))
  const said = `HTTP ${status}${data ? `: ${data.message}` : ''}`
  if (TRY_AGAIN.includes(status))
    return new Passing(said, { retryAfterMs: Number(headers['retry-after'] ?? 0) * 1000 || 0 })
  if (headers[PROTOCOL_HEADER] !== PROTOCOL)
    return new WorkspaceError('STORE_UNAVAILABLE', `what answers at ${place} is no coordinator`, {
      expected: `a coordinator of protocol ${PROTOCOL}`,
      found: said,
      hint: 'look at SHARED_WORKSPACE_ARTIFACT_COORDINATOR_URL, and at what is between here and there',
    })
  if (status === 401 || status === 403)
    return new WorkspaceError('STORE_DENIED', `${place} refuses the token`, {
      expected: 'a token that the coordinator accepts',
      found: said,
      hint: 'the key token of the Secret shared-workspace-coordinator is what steps send (docs/coordinator.md)',
    })
  const details = { expected: data?.expected ?? 'a request that it takes', found: data?.found ?? said }
  if (status === 413 || status === 507)
    return new WorkspaceError('NO_SPACE', `${place} does not take more: ${data?.message ?? said}`, {
      ...details,
      hint: data?.hint ?? 'raise its limits (docs/coordinator.md)',
    })
  return new WorkspaceError(isCode(data?.code) ? data.code : 'INTERNAL', `${place}: ${said}`, {
    ...details,
    ...(data?.hint ? { hint: data.hint } : {}),
  })
}

const isCode = (code: string | undefined): code is ErrorCode =>
  code !== undefined && Object.hasOwn(ERRORS, code)
