/** An HTTP server that no client can hold up, and that ends without cutting what can be finished. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'

export type { IncomingMessage, ServerResponse } from 'node:http'

/** Limits in ms. A request that is longer under way, or a connection longer without a byte, is cut. */
export interface HttpLimits {
  headersMs: number
  requestMs: number
  idleMs: number
  connections: number
}

export interface HttpServerOptions {
  /** '' for every address of this host. */
  host: string
  /** 0 for any free one. */
  port: number
  tls: { cert: Buffer; key: Buffer } | undefined
  limits: HttpLimits
  /** Answers a request, whatever happens: it never throws. */
  handle: (request: IncomingMessage, response: ServerResponse) => void
}

export interface HttpServer {
  port: number
  /** Takes no more connections, lets requests finish for `graceMs`, and cuts the rest. */
  stop(graceMs: number): Promise<void>
}

/** How often requests are looked at for being too long under way. */
const CHECK_MS = 1000

export async function startHttpServer(options: HttpServerOptions): Promise<HttpServer> {
  const { host, port, tls, limits, handle } = options
  let stopping = false
  const checks = { connectionsCheckingInterval: CHECK_MS }
  const server = (tls ? createTlsServer({ ...checks, ...tls }) : createServer(checks)).on(
    'request',
    (request, response) => {
      if (stopping) response.setHeader('connection', 'close')
      // A connection that has become idle is not closed by itself once the server is.
      response.once('close', () => stopping && server.closeIdleConnections())
      handle(request, response)
    },
  )
  server.headersTimeout = limits.headersMs
  server.requestTimeout = limits.requestMs
  server.keepAliveTimeout = limits.idleMs
  server.timeout = limits.idleMs
  server.maxConnections = limits.connections
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject).once('listening', resolve)
    server.listen({ port, ...(host ? { host } : {}) })
  })
  return {
    port: (server.address() as AddressInfo).port,
    async stop(graceMs) {
      stopping = true
      const closed = new Promise((resolve) => server.close(resolve))
      const cut = setTimeout(() => server.closeAllConnections(), graceMs)
      await closed
      clearTimeout(cut)
    },
  }
}
