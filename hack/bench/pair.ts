import { execa } from 'execa'

/** One line of a benchmark: medians in seconds, ours against another's. */
export interface Row {
  work: string
  ours_s: number
  other: string
  other_s: number
  ratio: number
  /** The highest ratio that is good enough. */
  target: number
  ok: boolean
}

export interface Contender {
  command: string[]
  env?: Record<string, string>
  /** Made ready before each run, outside the measured time. */
  before?: () => Promise<void>
}

/** Runs both in turns, so that a noisy minute hits both, and compares the medians of whole processes. */
export async function pair(
  work: string,
  ours: Contender,
  other: Contender & { name: string },
  target: number,
  rounds: number,
): Promise<Row> {
  const times: [number[], number[]] = [[], []]
  for (let round = -1; round < rounds; round++) {
    for (const [i, contender] of [ours, other].entries()) {
      const seconds = await time(contender)
      // The first round warms the caches of both.
      if (round >= 0) times[i]!.push(seconds)
    }
  }
  const [ours_s, other_s] = [median(times[0]), median(times[1])]
  const ratio = round(ours_s / other_s)
  return {
    work,
    ours_s: round(ours_s),
    other: other.name,
    other_s: round(other_s),
    ratio,
    target,
    ok: ratio <= target,
  }
}

async function time({ command, env = {}, before }: Contender): Promise<number> {
  await before?.()
  const [file, ...args] = command
  const started = performance.now()
  await execa(file!, args, { env, stdout: 'ignore' })
  return (performance.now() - started) / 1000
}

const median = (values: number[]): number => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!
const round = (value: number): number => Number(value.toPrecision(3))
