/** Servers of others as child processes on a free port of loopback or a test's own bridge, ended by their id. */
import { connect, createServer, type AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { execa } from 'execa'

const PATIENCE_MS = 60_000

export interface Server {
  /** `<host>:<port>` */
  address: string
  /** Ends the process and waits until it is gone. */
  stop(): Promise<void>
}

/**
 * Starts `file` with the arguments that `args` gives for an address, and waits until it listens there. It ends with
 * this process at the latest. Somebody may take the port before it does: then another is tried.
 */
export async function startServer(
  file: string,
  args: (address: string) => string[],
  env: Record<string, string> = {},
  host = '127.0.0.1',
): Promise<Server> {
  for (let tries = 3; ; tries--) {
    const port = await freePort(host)
    const address = `${host}:${port}`
    const child = execa(file, args(address), { env, all: true, reject: false })
    const ended = child.then(() => true)
    const stop = async () => {
      child.kill()
      await ended
    }
    if (await comesUp(host, port, ended)) return { address, stop }
    await stop()
    const { all, shortMessage } = await child
    if (tries === 1) throw new Error(`${file} did not come up: ${shortMessage}\n${all}`)
  }
}

async function comesUp(host: string, port: number, ended: Promise<boolean>): Promise<boolean> {
  const deadline = Date.now() + PATIENCE_MS
  while (Date.now() < deadline) {
    if (await listens(host, port)) return true
    if (await Promise.race([ended, sleep(50, false)])) return false
  }
  return false
}

function listens(host: string, port: number): Promise<boolean> {
  const socket = connect(port, host)
  return new Promise<boolean>((resolve) => {
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false))
  }).finally(() => socket.destroy())
}

async function freePort(host: string): Promise<number> {
  const server = createServer().listen(0, host)
  await new Promise((resolve) => server.once('listening', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}
