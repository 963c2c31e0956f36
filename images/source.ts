import { join } from 'node:path'
import { $ } from 'execa'

const root = join(import.meta.dirname, '..')

/**
 * Writes this project's own source as a tarball: what the demo builds when it is given no other. The same files
 * give the same bytes.
 */
export async function writeSourceTarball(out: string): Promise<void> {
  const { stdout } = await $({ cwd: root })`git ls-files -co --exclude-standard`
  // A file that is deleted but not yet committed is still listed.
  const options = [
    '--owner=0',
    '--group=0',
    '--numeric-owner',
    '--mtime=@0',
    '--no-recursion',
    '--ignore-failed-read',
  ]
  const tar = await $({
    cwd: root,
    input: stdout.split('\n').sort().join('\n'),
    encoding: 'buffer',
    maxBuffer: 2 ** 30,
  })`tar ${options} -cf - -T -`
  await $({ input: tar.stdout, stdout: { file: out } })`gzip -n`
}
