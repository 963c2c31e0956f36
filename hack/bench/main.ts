/**
 * `./run bench <area> [--json] [--rounds N]`: runs us and the alternative side by side, in turns, and prints medians
 * and ratios: a table for people, or with --json an array of {work, ours_s, other, other_s, ratio, target, ok}.
 */
import { parseArgs } from 'node:util'
import { artifacts } from './artifacts.ts'
import { start } from './start.ts'
import type { Row } from './pair.ts'

const AREAS: Record<string, (rounds: number) => Promise<Row[]>> = { start, artifacts }

const { values, positionals } = parseArgs({
  args: process.argv.slice(2).filter((arg) => arg !== '--'),
  allowPositionals: true,
  options: { json: { type: 'boolean' }, rounds: { type: 'string', default: '7' } },
})
const area = AREAS[positionals[0] ?? '']
if (!area || positionals.length !== 1) {
  console.error(
    `bench: expected one of ${Object.keys(AREAS).join(', ')}, found ${positionals.join(' ') || 'nothing'}`,
  )
  process.exitCode = 64
} else {
  const rows = await area(Number(values.rounds))
  if (values.json) console.log(JSON.stringify(rows, null, 2))
  else
    console.table(
      rows.map(({ work, ours_s, other, other_s, ratio, target, ok }) => ({
        work,
        ours_s,
        other,
        other_s,
        ratio,
        target,
        ok,
      })),
    )
}
