/** Loaded ahead of a step: writes its peak of memory, in KiB, to the file BENCH_PEAK when it ends. */
import { writeFileSync } from 'node:fs'

process.on('exit', () => writeFileSync(process.env['BENCH_PEAK']!, String(process.resourceUsage().maxRSS)))
