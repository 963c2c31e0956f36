/** The command line of a soak. */
import { writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import type { parseArgs } from 'node:util'
import { reportOf, textOf } from './report.ts'
import { soak, type SoakOptions } from './soak.ts'

export const USAGE = `usage: ./run soak [options]
  --folder DIR       where to soak: a volume, or any folder; a temporary one by default. Only a new folder in it is used
  --second DIR       the same folder by another mount; half of the processes use it
  --cut COMMAND, --heal COMMAND    take the network of the second mount away, and give it back
  --acquisitions N   stop after so many (10000)
  --seconds N        stop after so long (600)
  --workers N        processes (6)
  --locks N          locks at a time that each three of them share (8)
  --ttl SECONDS      how long a holder may be silent (2); raise it where new names are seen late
  --poll SECONDS     how often the first in a queue looks (0.05)
  --patience SECONDS a wait that takes longer is a violation (60)
  --seed N           what decides about the faults
  --json             print the report as JSON
  --report FILE      write the report as JSON
Ctrl-C ends it early, with what it has. Exits with 0 when nothing is wrong, 1 when something is, 2 for a wrong command line.`

export const OPTIONS = {
  folder: { type: 'string' },
  second: { type: 'string' },
  cut: { type: 'string' },
  heal: { type: 'string' },
  acquisitions: { type: 'string', default: '10000' },
  seconds: { type: 'string', default: '600' },
  workers: { type: 'string', default: '6' },
  locks: { type: 'string', default: '8' },
  ttl: { type: 'string', default: '2' },
  poll: { type: 'string', default: '0.05' },
  patience: { type: 'string', default: '60' },
  seed: { type: 'string' },
  json: { type: 'boolean', default: false },
  report: { type: 'string' },
  help: { type: 'boolean', default: false },
} as const

type Values = ReturnType<typeof parseArgs<{ options: typeof OPTIONS }>>['values']

/** Soaks with the program of a process at `program`. @returns the exit code */
export async function runSoak(program: string, values: Values): Promise<number> {
  const stop = new AbortController()
  const interrupted = (): void => stop.abort()
  process.once('SIGINT', interrupted).once('SIGTERM', interrupted)
  const options: SoakOptions = {
    ...optionsOf(values),
    program,
    say: (line) => console.error(`soak: ${line}`),
    signal: stop.signal,
  }
  options.say(`seed ${options.seed}`)
  const report = await reportOf(await soak(options), options)
  if (values.report !== undefined) await writeFile(values.report, JSON.stringify(report, null, 2))
  console.log(values.json ? JSON.stringify(report, null, 2) : textOf(report))
  return report.violations === 0 ? 0 : 1
}

export class UsageError extends Error {}

function optionsOf(values: Values): Omit<SoakOptions, 'program' | 'say' | 'signal'> {
  const { folder = tmpdir(), second, cut, heal, seed } = values
  const number = (
    name: 'acquisitions' | 'seconds' | 'workers' | 'locks' | 'ttl' | 'poll' | 'patience',
  ): number => {
    const value = Number(values[name])
    if (value > 0 && Number.isFinite(value)) return value
    throw new UsageError(`--${name}: expected a number over 0, found ${values[name]}`)
  }
  if ((cut === undefined) !== (heal === undefined)) throw new UsageError('--cut and --heal belong together')
  if (cut !== undefined && second === undefined)
    throw new UsageError('--cut needs --second, which is what is cut off')
  return {
    folders: second === undefined ? [folder] : [folder, second],
    acquisitions: number('acquisitions'),
    seconds: number('seconds'),
    workers: number('workers'),
    locks: number('locks'),
    ttlMs: number('ttl') * 1000,
    pollMs: number('poll') * 1000,
    patienceMs: number('patience') * 1000,
    seed: seed === undefined ? Math.floor(Math.random() * 2 ** 31) : Number(seed),
    cut: cut === undefined || heal === undefined ? undefined : { cut, heal },
  }
}

/** Runs `action` and says what is wrong with the command line, if it is that. @returns the exit code */
export async function withUsage(action: () => Promise<number>): Promise<number> {
  try {
    return await action()
  } catch (error) {
    const isUsage =
      error instanceof UsageError ||
      (error instanceof Error && 'code' in error && String(error.code).startsWith('ERR_PARSE_ARGS'))
    if (!isUsage) throw error
    console.error(`soak: ${error.message}\n${USAGE}`)
    return 2
  }
}
