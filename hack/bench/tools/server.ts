/** A server of one file behind a line that all downloads share, as a mirror behind a company's uplink. */
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

export interface LineServer {
  url: string
  downloads: number
  bytes: number
  reset(): void
  stop(): Promise<void>
}

const PIECE = 64 * 1024

/** @param bytesPerSecond what all of its connections have together */
export async function startLineServer(
  path: string,
  file: Buffer,
  bytesPerSecond: number,
): Promise<LineServer> {
  let freeAt = performance.now()
  /** Each piece waits for its turn on the line. */
  const pass = async (length: number): Promise<void> => {
    freeAt = Math.max(performance.now(), freeAt) + (length * 1000) / bytesPerSecond
    const waitMs = freeAt - performance.now()
    // A timer is no finer; the line catches up.
    if (waitMs > 2) await sleep(waitMs)
  }
  const serve = async (response: ServerResponse): Promise<void> => {
    server.downloads++
    response.writeHead(200, { 'content-length': file.length, etag: '"bench"' })
    for (let at = 0; at < file.length && !response.destroyed; at += PIECE) {
      const piece = file.subarray(at, at + PIECE)
      await pass(piece.length)
      server.bytes += piece.length
      if (!response.write(piece)) await new Promise((resolve) => response.once('drain', resolve))
    }
    response.end()
  }
  const listener = createServer((_, response) => void serve(response))
  await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve))
  const server: LineServer = {
    url: `http://127.0.0.1:${(listener.address() as AddressInfo).port}${path}`,
    downloads: 0,
    bytes: 0,
    reset: () => void Object.assign(server, { downloads: 0, bytes: 0 }),
    async stop() {
      const closed = new Promise((resolve) => listener.close(resolve))
      listener.closeAllConnections()
      await closed
    },
  }
  return server
}
