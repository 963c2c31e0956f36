import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { access, constants, open } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import { lastLines } from '../../cluster/base/files.ts'
import { Problem } from '../../cluster/base/problem.ts'
import { SYSTEM_PATH } from '../../cluster/binaries/packages.ts'
import type { Drives } from './drives.ts'
import type { Image } from './image.ts'

const MEMORY_MIB = 1024
/** A machine that isn't up after this long is given up. Emulated ones take 10 to 30 s. */
const BOOT_MS = { kvm: 30_000, tcg: 300_000 }
type Accelerator = keyof typeof BOOT_MS

export interface MachineOptions {
  image: Image
  drives: Drives
  /** Lease and grace period of the NFS server, seconds. */
  lease: number
}

/** A machine in which the job has begun. */
export interface Machine {
  accelerator: Accelerator
  /** What the job writes. Both end when the machine is killed. */
  stdout: Readable
  stderr: Readable
  /** The job's exit code, once all that it wrote is on its way. A Problem where the machine ends before. */
  exitCode(): Promise<number>
  /** Ends it like a pulled plug, and waits until it is gone. */
  kill(): Promise<void>
}

/** Boots by the processor's own means where they work, else by emulation. `signal` kills the machine at any time. */
export async function bootMachine(options: MachineOptions, signal: AbortSignal): Promise<Machine> {
  if (await hasKvm()) {
    try {
      return await boot(options, 'kvm', signal)
    } catch (error) {
      // That the device is there says little: in some machines that are virtual themselves nothing boots by it.
      if (!(error instanceof Problem) || signal.aborted) throw error
    }
  }
  return await boot(options, 'tcg', signal)
}

const hasKvm = (): Promise<boolean> =>
  access('/dev/kvm', constants.R_OK | constants.W_OK).then(
    () => true,
    () => false,
  )

async function boot(
  options: MachineOptions,
  accelerator: Accelerator,
  signal: AbortSignal,
): Promise<Machine> {
  signal.throwIfAborted()
  const log = join(options.drives.folder, `console-${accelerator}`)
  const { ports, kill } = await start(qemuArguments(options, accelerator, log), options.drives.folder, log)
  const [stdout, stderr, control] = ports
  const lines = createInterface({ input: control })[Symbol.asyncIterator]()
  /** What follows `word` on the next line of the machine. */
  const expect = async (word: string): Promise<string> => {
    const line = await lines.next()
    const [said, ...rest] = line.done ? [] : line.value.split(' ')
    if (said === word) return rest.join(' ')
    throw new Problem(`the machine with the NFS server failed\n${await lastLines(log, 40)}`, {
      expected: word,
      found: line.done ? 'its end' : line.value,
    })
  }
  signal.addEventListener('abort', () => void kill(), { once: true })
  const patience = setTimeout(() => void kill(), BOOT_MS[accelerator])
  try {
    await expect('ready')
  } catch (error) {
    await kill()
    throw error
  } finally {
    clearTimeout(patience)
  }
  return { accelerator, stdout, stderr, kill, exitCode: async () => Number(await expect('exit')) }
}

/** Starts QEMU with three sockets, as descriptors 3 to 5, for the machine's ports. */
async function start(
  args: string[],
  temporary: string,
  log: string,
): Promise<{ ports: [Readable, Readable, Readable]; kill: () => Promise<void> }> {
  const output = await open(log, 'a')
  // It ends with this process, however that ends.
  const child = spawn('setpriv', ['--pdeathsig', 'KILL', 'qemu-system-x86_64', ...args], {
    stdio: ['ignore', output.fd, output.fd, 'pipe', 'pipe', 'pipe'],
    env: { PATH: SYSTEM_PATH, TMPDIR: temporary },
  })
  const exited = new Promise((resolve) => child.once('exit', resolve))
  try {
    await once(child, 'spawn')
  } finally {
    await output.close()
  }
  const kill = async (): Promise<void> => {
    child.kill('SIGKILL')
    await exited
  }
  return { ports: child.stdio.slice(3) as [Readable, Readable, Readable], kill }
}

function qemuArguments(
  { image, drives, lease }: MachineOptions,
  accelerator: Accelerator,
  log: string,
): string[] {
  const drive = (name: string, file: string, more: string): string[][] => [
    ['-drive', `id=${name},file=${file},format=raw,if=none,${more}`],
    ['-device', `virtio-blk-pci,drive=${name}`],
  ]
  const port = (number: number): string[][] => [
    ['-chardev', `socket,id=port${number},fd=${number + 2}`],
    ['-device', `virtserialport,chardev=port${number},nr=${number}`],
  ]
  return [
    ['-M', 'q35,hpet=on', '-smp', '2', '-m', String(MEMORY_MIB)],
    ['-nodefaults', '-no-reboot', '-display', 'none', '-serial', `file:${log}`],
    // Without a limit the emulator keeps up to 1 GiB of translated code.
    accelerator === 'kvm'
      ? ['-accel', 'kvm', '-cpu', 'host']
      : ['-accel', 'tcg,thread=multi,tb-size=256', '-cpu', 'max,la57=off'],
    ['-kernel', image.kernel, '-initrd', image.initrd],
    ['-append', `console=ttyS0 quiet panic=-1 reboot=t mitigations=off nokaslr LEASE=${lease}`],
    // What a run writes goes into a temporary file that has no name.
    ...drive('root', image.root, 'snapshot=on'),
    ...drive('job', drives.job, 'readonly=on'),
    ...drive('out', drives.out, 'cache=unsafe'),
    ['-device', 'virtio-rng-pci', '-device', 'virtio-serial-pci'],
    ...[1, 2, 3].flatMap(port),
  ].flat()
}
