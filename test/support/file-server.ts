/** A real HTTP or HTTPS server of files, with ranges and ETags, that does to single requests what networks do. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import { connect, type AddressInfo } from 'node:net'
import { createHash } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'

export interface FileFault {
  /** Answers with this status and no file. */
  status?: number
  headers?: Record<string, string>
  /** Cuts the connection after so many bytes of the body. */
  cutAfter?: number
  /** Sends no more after so many bytes, and keeps silent. */
  stallAfter?: number
  /** Answers a range with the whole file. */
  ignoreRange?: boolean
  /** Has no regard for If-Range. */
  ignoreIfRange?: boolean
  /** Another file is there now. */
  body?: Buffer
  /** Neither ETag nor Last-Modified. */
  noValidators?: boolean
  /** Neither a length nor ranges. */
  chunked?: boolean
  /** Pauses before each piece of 16 KiB, in ms. */
  pauseMs?: number
}

export interface Asked {
  path: string
  headers: IncomingMessage['headers']
  /** Where the answer's body began in the file. */
  from: number
  status: number
  /** Bytes of the body that were handed to the connection. */
  sent: number
}

export interface FileServer {
  url: string
  /** By their paths, such as `/tool.tar.gz`. */
  files: Map<string, Buffer>
  /** Every request, in order. */
  asked: Asked[]
  /** What happens to requests from now on; `n` counts from 0. */
  plan: (request: { path: string; n: number; headers: IncomingMessage['headers'] }) => FileFault | undefined
  stop(): Promise<void>
}

const PIECE = 16 * 1024

/** Starts one on a free loopback port. */
export async function startFileServer(tls?: { key: string; cert: string }): Promise<FileServer> {
  const answer = (request: IncomingMessage, response: ServerResponse): void => {
    serve(server, request, response).catch(() => response.destroy())
  }
  const listener = tls ? createTlsServer(tls, answer) : createServer(answer)
  const port = await listening(listener)
  const server: FileServer = {
    url: `${tls ? 'https' : 'http'}://127.0.0.1:${port}`,
    files: new Map(),
    asked: [],
    plan: () => undefined,
    async stop() {
      const closed = new Promise((resolve) => listener.close(resolve))
      listener.closeAllConnections()
      await closed
    },
  }
  return server
}

async function listening(server: ReturnType<typeof createServer>): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return (server.address() as AddressInfo).port
}

async function serve(server: FileServer, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { headers, url: path = '' } = request
  const fault = server.plan({ path, n: server.asked.length, headers }) ?? {}
  const asked: Asked = { path, headers, from: 0, status: fault.status ?? 200, sent: 0 }
  server.asked.push(asked)
  const body = fault.body ?? server.files.get(path)
  if (fault.status || !body) {
    asked.status = fault.status ?? 404
    response.writeHead(asked.status, fault.headers).end()
    return
  }
  const etag = `"${createHash('sha256').update(body).digest('hex').slice(0, 16)}"`
  const isSame = fault.ignoreIfRange || !headers['if-range'] || headers['if-range'] === etag
  const range =
    fault.ignoreRange || fault.chunked || !isSame ? null : /^bytes=(\d+)-$/.exec(headers.range ?? '')
  asked.from = range ? Number(range[1]) : 0
  const validators = fault.noValidators ? {} : { etag }
  if (range && asked.from >= body.length) {
    asked.status = 416
    response.writeHead(416, { 'content-range': `bytes */${body.length}` }).end()
    return
  }
  const length = { 'content-length': body.length - asked.from, 'accept-ranges': 'bytes' }
  asked.status = range ? 206 : 200
  response.writeHead(asked.status, {
    ...validators,
    ...(fault.chunked ? {} : length),
    ...(range ? { 'content-range': `bytes ${asked.from}-${body.length - 1}/${body.length}` } : {}),
    ...fault.headers,
  })
  response.flushHeaders()
  await send(asked, body, response, fault)
}

async function send(asked: Asked, body: Buffer, response: ServerResponse, fault: FileFault): Promise<void> {
  const { cutAfter = Infinity, stallAfter = Infinity, pauseMs } = fault
  const end = Math.min(body.length, asked.from + Math.min(cutAfter, stallAfter))
  for (let at = asked.from; at < end && !response.destroyed; at += PIECE) {
    if (pauseMs) await sleep(pauseMs)
    const piece = body.subarray(at, Math.min(end, at + PIECE))
    asked.sent += piece.length
    if (!response.write(piece)) await drained(response)
  }
  if (end === body.length) return void response.end()
  // A client that has not read what it was sent loses it with the connection: it is given a moment.
  await sleep(60)
  if (cutAfter < stallAfter) response.destroy()
}

const drained = (response: ServerResponse): Promise<void> =>
  new Promise((resolve) => {
    response.once('drain', resolve).once('close', resolve)
  })

export interface Proxy {
  url: string
  /** `CONNECT host:port`, or `GET url`. */
  seen: string[]
  stop(): Promise<void>
}

/** A forward proxy: tunnels by CONNECT, and plain requests. */
export async function startProxy(): Promise<Proxy> {
  const seen: string[] = []
  const sockets = new Set<{ destroy(): void }>()
  const listener = createServer((request, response) => {
    seen.push(`${request.method} ${request.url}`)
    fetch(request.url ?? '')
      .then(async (answer) => response.writeHead(answer.status).end(Buffer.from(await answer.arrayBuffer())))
      .catch(() => response.destroy())
  })
  listener.on('connect', (request, socket) => {
    seen.push(`CONNECT ${request.url}`)
    const [host = '', port] = (request.url ?? '').split(':')
    const onward = connect(Number(port), host, () => {
      socket.write('HTTP/1.1 200 OK\r\n\r\n')
      onward.pipe(socket).pipe(onward)
    })
    for (const one of [socket, onward]) {
      sockets.add(one)
      one.on('error', () => one.destroy())
    }
  })
  const port = await listening(listener)
  return {
    url: `http://127.0.0.1:${port}`,
    seen,
    async stop() {
      for (const socket of sockets) socket.destroy()
      const closed = new Promise((resolve) => listener.close(resolve))
      listener.closeAllConnections()
      await closed
    },
  }
}
