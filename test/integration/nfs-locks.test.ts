/** Locks between two clients of a real NFSv4.1 server, also while one of them is cut off. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { build } from 'esbuild'
import { execa } from 'execa'
import { describe, expect, it } from 'vitest'
import { bundle as bundleSoak } from '../../hack/soak/bundle.ts'
import { BUNDLING } from '../../images/bundle.ts'
import { temporaryFolder } from '../support/folder.ts'
import type { NfsLocksFacts } from './support/nfs-locks-job.ts'

const MINUTE_MS = 60_000
const CHECKOUT = join(import.meta.dirname, '../..')
const isPossible = process.platform === 'linux' && process.arch === 'x64' && process.getuid?.() === 0

/** The job with its programs, as a folder that the machine gets. */
async function jobFolder(): Promise<string> {
  const folder = await temporaryFolder()
  await bundleSoak(folder)
  const programs = {
    job: 'test/integration/support/nfs-locks-job.ts',
    'fenced-worker': 'test/locks/fenced-worker.ts',
    'probe-locks': 'src/probe-locks/main.ts',
    contender: 'hack/bench/locks/contender.ts',
  }
  await build({
    ...BUNDLING,
    entryPoints: Object.entries(programs).map(([out, file]) => ({ in: join(CHECKOUT, file), out })),
    outdir: folder,
    outExtension: { '.js': '.mjs' },
  })
  return folder
}

describe.skipIf(!isPossible)('locks on NFS', () => {
  it('exclude, fence off and keep their promises', { timeout: 25 * MINUTE_MS }, async () => {
    const folder = await jobFolder()
    const soak = [
      '--seconds',
      '120',
      '--acquisitions',
      '1000',
      '--workers',
      '4',
      '--ttl',
      '6',
      '--poll',
      '0.2',
      '--patience',
      '180',
    ]
    const run = [
      'hack/filesystem/main.ts',
      'nfs',
      'run',
      '--timeout',
      '20m',
      '--',
      folder,
      'node',
      'job.mjs',
      ...soak,
    ]
    const { exitCode } = await execa(process.execPath, run, {
      cwd: CHECKOUT,
      stdio: 'inherit',
      reject: false,
    })
    expect(exitCode).toBe(0)
    const facts = JSON.parse(await readFile(join(folder, 'out/facts.json'), 'utf8')) as NfsLocksFacts
    console.log(JSON.stringify(facts, null, 2))

    expect(facts.probe).toEqual([0, 0])
    for (const late of Object.values(facts.late))
      expect(late).toMatchObject({
        old: 'STALE_LOCK',
        takeover: expect.stringContaining('heartbeat'),
        read: 'new',
      })
    // 20 turns of each of three, without those when not all of them wait.
    expect(facts.handOffs).toHaveLength(55)
    expect(facts.soak).toMatchObject({ violations: 0 })
  })
})
