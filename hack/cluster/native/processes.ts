import { spawn } from 'node:child_process'
import { open, readdir, readFile, readlink } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { isMissing, lastLines, readIfThere } from '../base/files.ts'
import { Problem } from '../base/problem.ts'
import { SYSTEM_PATH } from '../binaries/packages.ts'

/** A process that was started here. The start time tells it from a later one with the same id. */
export interface ProcessRecord {
  name: string
  pid: number
  /** Clock ticks since the boot: the 22nd field of /proc/<pid>/stat. */
  startTime: string
  log: string
}

/** Starts a program that outlives this one, with its output in a file and nothing of the caller's environment. */
export async function startDaemon(
  name: string,
  command: readonly string[],
  log: string,
): Promise<ProcessRecord> {
  const file = await open(log, 'a')
  const [program = '', ...args] = command
  const child = spawn(program, args, {
    cwd: '/',
    detached: true,
    env: { PATH: SYSTEM_PATH, HOME: '/root' },
    stdio: ['ignore', file.fd, file.fd],
  })
  try {
    await new Promise((resolve, reject) => child.once('spawn', resolve).once('error', reject))
  } finally {
    await file.close()
  }
  child.unref()
  return await recordOf(name, child.pid ?? 0, log)
}

export async function recordOf(name: string, pid: number, log: string): Promise<ProcessRecord> {
  const startTime = await startTimeOf(pid)
  if (startTime === undefined) throw await endedEarly({ name, log })
  return { name, pid, startTime, log }
}

/** The error for a daemon that is gone, with what it said last. */
export async function endedEarly({ name, log }: Pick<ProcessRecord, 'name' | 'log'>): Promise<Problem> {
  return new Problem(`${name} ended\n${await lastLines(log)}`, { log, fix: 'see its log, then run up again' })
}

/** Whether this very process still runs. A zombie doesn't. */
export async function isAlive({ pid, startTime }: ProcessRecord): Promise<boolean> {
  return (await startTimeOf(pid)) === startTime
}

/** Ends processes in order, each politely at first. */
export async function endProcesses(records: readonly ProcessRecord[], patienceMs = 5000): Promise<void> {
  for (const record of records) await signal(record, 'SIGTERM')
  const deadline = Date.now() + patienceMs
  while (Date.now() < deadline && (await anyAlive(records))) await sleep(50)
  for (const record of records) await signal(record, 'SIGKILL')
  while (await anyAlive(records)) await sleep(50)
}

export async function signal(record: ProcessRecord, name: NodeJS.Signals): Promise<void> {
  if (!(await isAlive(record))) return
  try {
    process.kill(record.pid, name)
  } catch (error) {
    if (!isMissing(error)) throw error
  }
}

async function anyAlive(records: readonly ProcessRecord[]): Promise<boolean> {
  return (await Promise.all(records.map(isAlive))).includes(true)
}

/** The first child of a process, or undefined. */
export async function firstChild(pid: number): Promise<number | undefined> {
  const children = await readIfThere(`/proc/${pid}/task/${pid}/children`)
  const first = children?.trim().split(' ')[0]
  return first ? Number(first) : undefined
}

/** Processes whose namespace of the given kind is `inode`, as /proc/<pid>/ns/<kind> names it. */
export async function processesInNamespace(kind: 'mnt' | 'net' | 'pid', inode: string): Promise<number[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name))
  const links = await Promise.all(pids.map((pid) => readlink(`/proc/${pid}/ns/${kind}`).catch(() => '')))
  return pids.filter((_, index) => links[index] === inode).map(Number)
}

async function startTimeOf(pid: number): Promise<string | undefined> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch((error: unknown) => {
    if (isMissing(error)) return ''
    throw error
  })
  // The name, in parentheses, may hold spaces: count from behind it.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return stat === '' || fields[0] === 'Z' ? undefined : fields[19]
}
