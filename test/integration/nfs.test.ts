/** The machine of `./run filesystem nfs`: what its two clients are to each other, and that it leaves nothing behind. */
import { once } from 'node:events'
import { copyFile, mkdir, readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { execa, type Options } from 'execa'
import { beforeAll, describe, expect, it } from 'vitest'
import { temporaryFolder } from '../support/folder.ts'
import type { NfsFacts } from './support/nfs-job.ts'

const MINUTE_MS = 60_000
const CHECKOUT = join(import.meta.dirname, '../..')
const isPossible = process.platform === 'linux' && process.arch === 'x64' && process.getuid?.() === 0

const nfs = (args: string[], options: Options = {}) =>
  execa(process.execPath, [join(CHECKOUT, 'hack/filesystem/main.ts'), 'nfs', ...args], {
    reject: false,
    ...options,
  })

/** Processes that were given a path in this folder. */
async function processesOf(folder: string): Promise<string[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name))
  const lines = await Promise.all(pids.map((pid) => readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')))
  return lines.filter((line) => line.startsWith('qemu') && line.includes(folder))
}

// It needs root for its packages and its root file system, and is made for one kind of processor.
describe.skipIf(!isPossible)('a machine with an NFS server and two clients', () => {
  beforeAll(async () => {
    await nfs(['build'], { stderr: 'inherit', reject: true })
  }, 15 * MINUTE_MS)

  it(
    'runs a job between clients that are independent of each other',
    { timeout: 12 * MINUTE_MS },
    async () => {
      const folder = await temporaryFolder()
      const [job, temporary] = [join(folder, 'job'), join(folder, 'temporary')]
      for (const name of [job, temporary]) await mkdir(name)
      await copyFile(join(import.meta.dirname, 'support/nfs-job.ts'), join(job, 'job.mts'))
      const result = await nfs(['run', '--', job, 'node', 'job.mts'], { env: { TMPDIR: temporary } })
      expect(result.stderr).toContain('a word on stderr')
      expect(result).toMatchObject({ exitCode: 42, stdout: 'a word on stdout' })
      const facts = JSON.parse(await readFile(join(job, 'out/facts.json'), 'utf8')) as NfsFacts

      expect(facts.flock).toEqual({ first: true, whileHeld: false, afterRelease: true })

      // A client goes on not finding what it did not find before, until it lists the folder.
      for (const found of facts.newNames)
        expect(found).toEqual({ stat: false, listed: true, statAfterwards: true })

      expect(facts.races).toHaveLength(100)
      for (const { winners, losers, links } of facts.races)
        expect({ winners: winners.length, losers, links }).toEqual({
          winners: 1,
          losers: ['EEXIST'],
          links: 2,
        })
      expect(new Set(facts.races.map(({ winners }) => winners[0])).size).toBe(2)

      expect(facts.cut).toMatchObject({ doneWhileCut: false, otherDone: true, content: 'there' })

      expect(await readdir(temporary)).toEqual([])
      expect(await processesOf(temporary)).toEqual([])
    },
  )

  it('ends with the one who is told to stop', { timeout: 12 * MINUTE_MS }, async () => {
    const folder = await temporaryFolder()
    const [job, temporary] = [join(folder, 'job'), join(folder, 'temporary')]
    for (const name of [job, temporary]) await mkdir(name)
    const running = nfs(['run', '--', job, 'sh', '-c', 'echo begun; sleep 600'], {
      env: { TMPDIR: temporary },
    })
    await Promise.race([once(running.stdout!, 'data'), running])
    expect(await processesOf(temporary)).toHaveLength(1)
    running.kill('SIGINT')
    expect((await running).exitCode).toBe(130)
    expect(await readdir(temporary)).toEqual([])
    expect(await processesOf(temporary)).toEqual([])
  })
})
