/** How a job gets into the machine and its results come out: archives on drives, without a file system. */
import { mkdtemp, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { execa } from 'execa'
import { Problem } from '../../cluster/base/problem.ts'

/** Bytes of /job/out as an archive, at most; the file is sparse. */
const OUT_BYTES = 2 ** 30

export interface Drives {
  folder: string
  job: string
  out: string
}

/** Packs a folder as /job and the command that runs in it as /command. The caller removes the drives' folder. */
export async function makeDrives(job: string, command: readonly string[]): Promise<Drives> {
  const folder = await mkdtemp(join(tmpdir(), 'nfs-run-'))
  const drives = { folder, job: join(folder, 'job.tar'), out: join(folder, 'out.tar') }
  try {
    await writeFile(join(folder, 'command'), `exec ${command.map(quoted).join(' ')}\n`)
    // Symlinks keep their targets (S), hard links name what they mean in the archive.
    const rename = '--transform=flags=rhS;s,^\\.,job,'
    await tar('-cf', drives.job, '--owner=0', '--group=0', rename, '-C', folder, 'command', '-C', job, '.')
    await writeFile(drives.out, '')
    await truncate(drives.out, OUT_BYTES)
    return drives
  } catch (error) {
    await rm(folder, { recursive: true, force: true })
    throw error
  }
}

/** Brings /job/out, where the job made one, into the job's folder. */
export async function bringOut(drives: Drives, job: string): Promise<void> {
  await tar('-xf', drives.out, '--no-same-owner', '-C', job)
}

async function tar(...args: string[]): Promise<void> {
  const result = await execa('tar', args, { reject: false })
  if (result.failed)
    throw new Problem(`tar ${args.join(' ')} failed`, { found: result.stderr || (result.shortMessage ?? '') })
}

/** A word as the shell has to be given it. */
const quoted = (word: string): string => `'${word.replaceAll("'", `'\\''`)}'`
