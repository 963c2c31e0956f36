/**
 * GET requests to any server, through the proxies that HTTP_PROXY, HTTPS_PROXY and NO_PROXY name, in capital or small
 * letters. No retries, no redirects.
 */
import { Agent, request as requestPlain } from 'node:http'
import { Agent as TlsAgent, request as requestTls } from 'node:https'
import { env } from './host.ts'
import type { HttpAnswer } from './http-client.ts'
import { trusting } from './trust.ts'

export interface HttpGetOptions {
  /** Certificates in PEM form that servers are trusted by, beside the usual ones; '' for none. */
  ca: string
  /** A server that has not answered, and a connection without a byte, for so long is given up. */
  idleMs: number
}

export type HttpGet = (url: URL, headers: Record<string, string>, signal: AbortSignal) => Promise<HttpAnswer>

export function httpGetter({ ca, idleMs }: HttpGetOptions): HttpGet {
  const common = { keepAlive: true, proxyEnv: env }
  const plain = new Agent(common)
  const tls = new TlsAgent({ ...common, ...trusting(ca) })
  return (url, headers, signal) =>
    new Promise((resolve, reject) => {
      const isTls = url.protocol === 'https:'
      const sent = (isTls ? requestTls : requestPlain)(url, {
        agent: isTls ? tls : plain,
        headers,
        signal,
      })
      const giveUp = (): void => void sent.destroy(new Error(`not a byte within ${idleMs / 1000} s`))
      // A proxy that keeps silent is not seen by the timeout of a socket that the request has not got yet.
      const answering = setTimeout(giveUp, idleMs)
      sent.setTimeout(idleMs, giveUp)
      sent.once('error', reject)
      sent.once('close', () => clearTimeout(answering))
      sent.once('response', (answer) => {
        clearTimeout(answering)
        resolve({ status: answer.statusCode ?? 0, headers: answer.headers, body: answer })
      })
      sent.end()
    })
}
