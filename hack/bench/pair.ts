import { execa } from 'execa'

/** One line of a benchmark: medians in seconds, ours against another's. */
export interface Row {
  work: string
  ours_s: number
  other: string
  other_s: number
  ratio: number
  /** The highest ratio that is good enough; null where the row is only for the record. */
  target: number | null
  ok: boolean
  /** The most memory that ours had at a time. */
  memory_mib?: number
  /** What ours added to the volume. */
  bytes?: number
  /** What the other wrote. */
  other_bytes?: number
}

export interface Command {
  command: string[]
  env?: Record<string, string>
  /** The file or folder that it makes. */
  makes?: string
}

/** What is run: a command, or what makes one ready for a round outside the measured time. */
export type Contender = Command | ((round: number) => Promise<Command>)

export interface Other {
  name: string
  run: Contender
}

/** The highest good ratio, or how it follows from the other's seconds; null for none. */
export type Target = number | null | ((otherSeconds: number) => number)

/** Runs both in turns, so that a noisy minute hits both, and compares the medians of whole processes. */
export async function pair(
  work: string,
  ours: Contender,
  other: Other,
  target: Target,
  rounds: number,
): Promise<Row> {
  const times: [number[], number[]] = [[], []]
  for (let round = -1; round < rounds; round++) {
    for (const [i, contender] of [ours, other.run].entries()) {
      const seconds = await time(contender, round)
      // The first round warms the caches of both.
      if (round >= 0) times[i]!.push(seconds)
    }
  }
  return row(work, median(times[0]), other.name, median(times[1]), target)
}

export function row(work: string, ours_s: number, other: string, other_s: number, target: Target): Row {
  const ratio = rounded(ours_s / other_s)
  const highest = typeof target === 'function' ? rounded(target(other_s)) : target
  const ok = highest === null || ratio <= highest
  return { work, ours_s: rounded(ours_s), other, other_s: rounded(other_s), ratio, target: highest, ok }
}

/** The seconds that a contender takes. */
export async function time(contender: Contender, round = 0): Promise<number> {
  const { command, env = {} } = typeof contender === 'function' ? await contender(round) : contender
  const [file, ...args] = command
  const started = performance.now()
  await execa(file!, args, { env, stdout: 'ignore' })
  return (performance.now() - started) / 1000
}

export const median = (values: number[]): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!
export const rounded = (value: number): number => Number(value.toPrecision(3))
