/** Answers to requests. */
import type { IncomingMessage, ServerResponse } from '../platform/http-server.ts'
import { MAX_BODY, PROTOCOL, PROTOCOL_HEADER } from '../stores/coordinator/protocol.ts'
import { Refusal, refusalOf } from './refusal.ts'

export interface Call {
  request: IncomingMessage
  response: ServerResponse
  /** The decoded names of the path below its kind. */
  names: string[]
  query: URLSearchParams
}

export function answer(
  { response }: Pick<Call, 'response'>,
  status: number,
  body?: unknown,
  headers: Record<string, string> = {},
): void {
  response.setHeader(PROTOCOL_HEADER, PROTOCOL)
  for (const [name, value] of Object.entries(headers)) response.setHeader(name, value)
  if (body === undefined) return void response.writeHead(status).end()
  const data = Buffer.isBuffer(body) ? body : Buffer.from(JSON.stringify(body))
  response.setHeader('content-type', Buffer.isBuffer(body) ? 'application/octet-stream' : 'application/json')
  response.setHeader('content-length', data.length)
  response.writeHead(status).end(data)
}

/** Answers with what failed. @returns the status, or undefined where it was too late for that */
export function refuse(call: Pick<Call, 'request' | 'response'>, error: unknown): number | undefined {
  const { status, headers, body } = refusalOf(error)
  if (call.response.headersSent || call.request.socket.destroyed) {
    call.response.destroy()
    return undefined
  }
  // What is left of a body of bearable size is read and dropped, for a client that reads only once it has sent all.
  const { 'content-length': length = '0', 'transfer-encoding': unsized } = call.request.headers
  const isBearable = Number(length) <= MAX_BODY && unsized === undefined
  if (isBearable) call.request.resume()
  answer(call, status, body, isBearable ? headers : { ...headers, connection: 'close' })
  return status
}

/** The whole body of a small request. @throws Refusal 411, 413 */
export async function readBody(request: IncomingMessage, most: number): Promise<Buffer> {
  bodyLength(request, most)
  return Buffer.concat(await request.toArray())
}

/** How much a request says it carries, and so carries at most. @throws Refusal 411, 413 */
export function bodyLength(request: IncomingMessage, most: number): number {
  const length = request.headers['content-length']
  if (length === undefined) throw new Refusal(411, 'expected a Content-Length')
  if (Number(length) <= most) return Number(length)
  throw new Refusal(413, `expected at most ${most} bytes in one request, found ${length}`)
}
