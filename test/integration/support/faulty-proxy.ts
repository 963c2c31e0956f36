/** A real HTTP server between a client and another server, that does to single requests what networks do. */
import {
  createServer,
  request as send,
  type IncomingMessage,
  type OutgoingHttpHeaders,
  type ServerResponse,
} from 'node:http'
import { request as sendByTls } from 'node:https'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

export interface Fault {
  /** Answers by itself; with a code, as S3 refuses. */
  refuse?: { status: number; code?: string; message?: string; headers?: Record<string, string> }
  /** Lets the request through and cuts the connection instead of answering. */
  loseAnswer?: boolean
  /** Cuts the connection after so many bytes of the request's body. */
  cutRequestAfter?: number
  /** Takes no more of the request's body after so many bytes, and keeps silent. */
  stallRequestAfter?: number
  /** Cuts the connection after so many bytes of the answer's body. */
  cutAnswerAfter?: number
  /** Sends no more of the answer's body after so many bytes, and keeps silent. */
  stallAnswerAfter?: number
  /** Ends the answer after so many bytes and says that this is its length. */
  truncateAnswerTo?: number
  /** Pauses before each piece of the answer's body, in ms. */
  pauseMs?: number
  /** Answers with this ETag. */
  etag?: string
  /** Changes one bit of the answer's body at this place. */
  damageAt?: number
}

export interface Seen {
  method: string
  /** Path and query. */
  url: string
  headers: IncomingMessage['headers']
}

export interface FaultyProxy {
  endpoint: string
  /** Every request that came, in order. */
  seen: Seen[]
  /** What happens to requests from now on. */
  plan: (request: Seen) => Fault | undefined
  stop(): Promise<void>
}

/** Starts a proxy on a free loopback port in front of `upstream`, such as http://127.0.0.1:9000, or https. */
export async function startFaultyProxy(upstream: string): Promise<FaultyProxy> {
  const server = createServer((request, response) => {
    const seen = { method: request.method ?? '', url: request.url ?? '', headers: request.headers }
    proxy.seen.push(seen)
    pass(upstream, request, response, proxy.plan(seen) ?? {}).catch(() => {
      // The connection is gone: that is what the test wanted.
      request.destroy()
      response.destroy()
    })
  }).listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  const proxy: FaultyProxy = {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    seen: [],
    plan: () => undefined,
    async stop() {
      const closed = new Promise((resolve) => server.close(resolve))
      server.closeAllConnections()
      await closed
    },
  }
  return proxy
}

/** A plan by which the first requests that match meet the fault, and later ones do not. */
export function firstTimes(
  times: number,
  matches: (request: Seen) => boolean,
  fault: Fault,
): FaultyProxy['plan'] {
  let left = times
  return (request) => (matches(request) && left-- > 0 ? fault : undefined)
}

async function pass(
  upstream: string,
  request: IncomingMessage,
  response: ServerResponse,
  fault: Fault,
): Promise<void> {
  if (fault.refuse) return refuse(request, response, fault.refuse)
  const { method, url, headers } = request
  // As it came, host included: it is part of what is signed.
  const target = new URL(url ?? '', upstream)
  const onward =
    target.protocol === 'https:'
      ? // A test's own server shows a certificate of its own making.
        sendByTls(target, { method, headers, rejectUnauthorized: false })
      : send(target, { method, headers })
  const answered = new Promise<IncomingMessage>((resolve, reject) =>
    onward.once('response', resolve).once('error', reject),
  )
  answered.catch(() => {})
  try {
    await passBody(request, (chunk) => void onward.write(chunk), {
      cutAfter: fault.cutRequestAfter,
      stallAfter: fault.stallRequestAfter,
    })
    onward.end()
    const answer = await answered
    if (fault.loseAnswer) throw new Error('the answer is lost')
    await passAnswer(answer, response, fault)
  } finally {
    onward.destroy()
  }
}

async function passAnswer(answer: IncomingMessage, response: ServerResponse, fault: Fault): Promise<void> {
  const headers: OutgoingHttpHeaders = { ...answer.headers }
  if (fault.etag) headers['etag'] = fault.etag
  if (fault.truncateAnswerTo !== undefined) headers['content-length'] = fault.truncateAnswerTo
  response.writeHead(answer.statusCode ?? 502, headers)
  response.flushHeaders()
  let at = 0
  const deliver = async (chunk: Buffer): Promise<void> => {
    if (fault.pauseMs) await sleep(fault.pauseMs)
    const place = (fault.damageAt ?? -1) - at
    if (place >= 0 && place < chunk.length) chunk[place]! ^= 1
    at += chunk.length
    if (!response.write(chunk)) await new Promise((resolve) => response.once('drain', resolve))
  }
  await passBody(answer, deliver, {
    cutAfter: fault.cutAnswerAfter,
    stallAfter: fault.stallAnswerAfter,
    endAfter: fault.truncateAnswerTo,
  })
  response.end()
}

/** Hands on a body up to where it is cut, stalls or ends. Never resolves after a stall. */
async function passBody(
  body: IncomingMessage,
  deliver: (chunk: Buffer) => void | Promise<void>,
  limits: { cutAfter?: number | undefined; stallAfter?: number | undefined; endAfter?: number | undefined },
): Promise<void> {
  const { cutAfter = Infinity, stallAfter = Infinity, endAfter = Infinity } = limits
  const end = Math.min(cutAfter, stallAfter, endAfter)
  let at = 0
  for await (const chunk of body as AsyncIterable<Buffer>) {
    await deliver(chunk.subarray(0, end - at))
    at += chunk.length
    if (at < end) continue
    // What was delivered has to leave before the connection does.
    await sleep(20)
    if (end === cutAfter) throw new Error('cut')
    if (end === stallAfter) await new Promise(() => {})
    return
  }
}

/** Takes the request and refuses it as S3 does. */
async function refuse(
  request: IncomingMessage,
  response: ServerResponse,
  { status, code, message = '', headers = {} }: NonNullable<Fault['refuse']>,
): Promise<void> {
  for await (const _ of request);
  response.writeHead(status, { 'content-type': 'application/xml', ...headers })
  const body = `<?xml version="1.0"?><Error><Code>${code}</Code><Message>${message}</Message></Error>`
  response.end(code && request.method !== 'HEAD' ? body : undefined)
}
