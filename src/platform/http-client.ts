/** Single HTTP requests over connections that are kept; no retries, no redirects. */
import { Agent, request as requestPlain, type IncomingHttpHeaders, type IncomingMessage } from 'node:http'
import { Agent as TlsAgent, request as requestTls } from 'node:https'
import { trusting } from './trust.ts'

export interface HttpRequest {
  method: string
  /** Path and query. */
  path: string
  headers?: Record<string, string>
  body?: readonly Uint8Array[]
}

export interface HttpAnswer {
  status: number
  headers: IncomingHttpHeaders
  /** To be read to its end or destroyed. Fails where the connection ends before the body does. */
  body: IncomingMessage
}

export interface HttpClientOptions {
  /** Where requests go. */
  url: URL
  /** Certificates in PEM form that are trusted beside the usual ones; '' for none. */
  ca: string
  /** A connection without a byte for so long is cut. */
  idleMs: number
  signal: AbortSignal | undefined
}

export type SendHttp = (request: HttpRequest) => Promise<HttpAnswer>

const CONNECTIONS = 16

export function httpClient({ url, ca, idleMs, signal }: HttpClientOptions): SendHttp {
  const isTls = url.protocol === 'https:'
  const common = { keepAlive: true, maxSockets: CONNECTIONS }
  const agent = isTls ? new TlsAgent({ ...common, ...trusting(ca) }) : new Agent(common)
  return ({ method, path, headers = {}, body = [] }) =>
    new Promise((resolve, reject) => {
      const length = body.reduce((sum, chunk) => sum + chunk.length, 0)
      const sent = (isTls ? requestTls : requestPlain)(new URL(path, url), {
        agent,
        method,
        headers: { ...headers, ...(body.length > 0 ? { 'content-length': String(length) } : {}) },
        ...(signal ? { signal } : {}),
      })
      sent.setTimeout(idleMs, () => sent.destroy(new Error(`not a byte within ${idleMs / 1000} s`)))
      sent.once('error', reject)
      sent.once('response', (answer) =>
        resolve({ status: answer.statusCode ?? 0, headers: answer.headers, body: answer }),
      )
      for (const chunk of body) sent.write(chunk)
      sent.end()
    })
}
