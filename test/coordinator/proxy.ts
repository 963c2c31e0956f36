/** A real TCP proxy that cuts, truncates, stalls and slows connections. */
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { onTestFinished } from 'vitest'

/** What becomes of one connection; bytes count from its beginning. */
export interface Fault {
  /** After so many bytes towards the server, the connection is reset. */
  cutUpAfter?: number
  /** After so many bytes towards the client, … is done. */
  downAfter?: number
  how?: 'reset' | 'end' | 'stall'
  /** Bytes a second towards the client. */
  slowDown?: number
}

export interface Proxy {
  url: string
  /** For the connections that come next, one each; those after them are left alone. */
  faults: Fault[]
  /** Bytes towards the server, and towards the client. */
  up: number
  down: number
  /** How many connections were broken. */
  broken: number
}

export async function startProxy(port: number): Promise<Proxy> {
  const sockets = new Set<Socket>()
  const proxy: Proxy = { url: '', faults: [], up: 0, down: 0, broken: 0 }
  const server = createServer((client) => {
    const upstream = connect(port, '127.0.0.1')
    const fault = proxy.faults.shift() ?? {}
    let [up, down] = [0, 0]
    const reset = (): void => {
      proxy.broken += 1
      client.resetAndDestroy()
      upstream.resetAndDestroy()
    }
    for (const [socket, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(socket)
      socket.on('error', () => other.destroy())
      socket.on('close', () => sockets.delete(socket))
      socket.on('end', () => other.end())
    }
    client.on('data', (data) => {
      const left = (fault.cutUpAfter ?? Infinity) - up
      if (left <= 0) return
      upstream.write(data.subarray(0, left))
      up += data.length
      proxy.up += Math.min(data.length, left)
      // What was written so far shall arrive.
      if (data.length >= left) setTimeout(reset, 50)
    })
    upstream.on('data', (data) => {
      const left = (fault.downAfter ?? Infinity) - down
      down += data.length
      proxy.down += Math.min(data.length, left)
      if (left > 0) client.write(data.subarray(0, left))
      if (fault.slowDown) {
        upstream.pause()
        setTimeout(() => upstream.resume(), (data.length / fault.slowDown) * 1000)
      }
      if (data.length < left) return
      upstream.pause()
      if (fault.how === 'stall') proxy.broken += 1
      else if (fault.how === 'end') {
        proxy.broken += 1
        client.end()
        upstream.destroy()
      } else setTimeout(reset, 20)
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    server.close()
    for (const socket of sockets) socket.destroy()
  })
  proxy.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return proxy
}
