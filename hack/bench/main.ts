/**
 * `./run bench <area> [--json] [--rounds N] [--full] [--folder DIR [--second DIR]]`: runs us and the alternative side
 * by side, in turns, and prints medians and ratios: a table for people, or with --json an array of {work, ours_s, other,
 * other_s, ratio, target, ok}. --folder is on the file system to measure, --second another mount of the same.
 */
import { parseArgs } from 'node:util'
import { artifacts } from './artifacts.ts'
import { locks } from './locks.ts'
import { start } from './start.ts'
import { tools } from './tools.ts'
import type { Row } from './pair.ts'
import type { BenchOptions } from './world.ts'

const AREAS: Record<string, (options: BenchOptions) => Promise<Row[]>> = { start, artifacts, locks, tools }

const { values, positionals } = parseArgs({
  args: process.argv.slice(2).filter((arg) => arg !== '--'),
  allowPositionals: true,
  options: {
    json: { type: 'boolean' },
    rounds: { type: 'string', default: '5' },
    full: { type: 'boolean', default: false },
    folder: { type: 'string' },
    second: { type: 'string' },
  },
})
const { json, rounds, ...options } = values
const area = AREAS[positionals[0] ?? '']
if (!area || positionals.length !== 1) {
  console.error(
    `bench: expected one of ${Object.keys(AREAS).join(', ')}, found ${positionals.join(' ') || 'nothing'}`,
  )
  process.exitCode = 64
} else if (options.second !== undefined && options.folder === undefined) {
  console.error('bench: expected --folder with --second, found --second alone')
  process.exitCode = 64
} else {
  const rows = await area({ ...options, rounds: Number(rounds) })
  if (json) console.log(JSON.stringify(rows, null, 2))
  else console.table(rows)
}
