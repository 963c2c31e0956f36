/** One GET, for a health check: over a connection of its own, so that nothing is left that keeps a server from ending. */
import { request } from 'node:http'

/** @returns the HTTP status. @throws where there is none within `timeoutMs` */
export function httpStatus(url: URL, timeoutMs: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const signal = AbortSignal.timeout(timeoutMs)
    const sent = request(url, { agent: false, signal, headers: { connection: 'close' } })
    sent.once('error', reject)
    sent.once('response', (answer) => {
      resolve(answer.statusCode ?? 0)
      // What it says does not matter.
      answer.once('error', () => undefined).resume()
    })
    sent.end()
  })
}
