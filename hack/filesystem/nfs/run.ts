import { stat, rm } from 'node:fs/promises'
import { finished } from 'node:stream/promises'
import { parseArgs } from 'node:util'
import { duration } from '../../../src/schemas.ts'
import { Problem } from '../../cluster/base/problem.ts'
import { elapsed, say } from '../../cluster/base/progress.ts'
import { build } from './build.ts'
import { bringOut, makeDrives } from './drives.ts'
import { bootMachine, type MachineOptions } from './machine.ts'

interface Order {
  /** Of the machine, from its start. */
  timeoutMs: number
  /** Seconds. */
  lease: number
  folder: string
  command: string[]
}

/** As timeout(1) has it. */
const TIMED_OUT = 124
const SIGNALS = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 }

/**
 * Runs a command in a copy of a folder, on a machine with two NFS clients that exists for this command only.
 *
 * @returns the command's exit code; 124 after the timeout, 128 + n after a signal, with the machine gone.
 */
export async function run(args: string[]): Promise<number> {
  const order = readOrder(args)
  await requireFolder(order.folder)
  const image = await build()
  const drives = await makeDrives(order.folder, order.command)
  try {
    return await endedBy(order.timeoutMs, async (signal) => {
      const code = await runJob({ image, drives, lease: order.lease }, signal)
      await bringOut(drives, order.folder)
      return code
    })
  } finally {
    await rm(drives.folder, { recursive: true, force: true })
  }
}

async function requireFolder(folder: string): Promise<void> {
  const found = await stat(folder).catch(() => undefined)
  if (found?.isDirectory()) return
  throw new Problem('the job is not a folder', { found: folder, fix: 'name a folder, then a command' })
}

function readOrder(args: string[]): Order {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: { timeout: { type: 'string', default: '10m' }, lease: { type: 'string', default: '15' } },
  })
  const [folder, ...command] = positionals
  if (folder === undefined || command.length === 0)
    throw new Problem('a job is missing', { expected: '[options] -- FOLDER COMMAND…' })
  const timeout = duration.safeParse(values.timeout)
  if (timeout.error)
    throw new Problem('--timeout is no duration', { expected: '90s, 10m, …', found: values.timeout })
  // What the kernel's server takes.
  const lease = Number(values.lease)
  if (!Number.isInteger(lease) || lease < 10 || lease > 3600)
    throw new Problem('--lease is wrong', { expected: 'seconds, 10 to 3600', found: values.lease })
  return { timeoutMs: timeout.data, lease, folder, command }
}

/** Boots, hands on what the job writes, and leaves nothing running. */
async function runJob(options: MachineOptions, signal: AbortSignal): Promise<number> {
  const start = Date.now()
  const machine = await bootMachine(options, signal)
  try {
    say(`Two clients have mounted the NFS after ${elapsed(start)} (${machine.accelerator}); the job begins`)
    machine.stdout.pipe(process.stdout, { end: false })
    machine.stderr.pipe(process.stderr, { end: false })
    const code = await machine.exitCode()
    await machine.kill()
    await Promise.all([finished(machine.stdout), finished(machine.stderr)])
    say(`The job ended with ${code} after ${elapsed(start)} in all`)
    return code
  } finally {
    await machine.kill()
  }
}

/** Does work that a timeout or a signal ends; then the exit code says which one did. */
async function endedBy(timeoutMs: number, work: (signal: AbortSignal) => Promise<number>): Promise<number> {
  const controller = new AbortController()
  let why = 0
  const end = (code: number, words: string) => (): void => {
    why = code
    say(`${words}: ending the machine`)
    controller.abort()
  }
  const timer = setTimeout(end(TIMED_OUT, 'The time is up'), Math.min(timeoutMs, 2 ** 31 - 1))
  const listeners = Object.entries(SIGNALS).map(([name, code]) => [name, end(code, name)] as const)
  for (const [name, listener] of listeners) process.on(name, listener)
  try {
    return await work(controller.signal)
  } catch (error) {
    if (why === 0) throw error
    return why
  } finally {
    clearTimeout(timer)
    for (const [name, listener] of listeners) process.off(name, listener)
  }
}
