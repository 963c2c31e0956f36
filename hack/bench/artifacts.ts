import { cp, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { execa } from 'execa'
import { pair, type Row } from './pair.ts'
import { withWorld } from './world.ts'

/** Source code (this project's dependencies' TypeScript and JavaScript) stored and retrieved, against cp and tar. */
export async function artifacts(rounds: number): Promise<Row[]> {
  return withWorld(async ({ folder, volume, step }) => {
    const tree = join(folder, 'tree')
    await cp(join(import.meta.dirname, '../../node_modules/@kubernetes'), tree, { recursive: true })
    const store = step('artifact-store', { path: tree, output: 'tree' })
    const empty = (name: string) => () => rm(join(folder, name), { recursive: true, force: true })
    const fresh = () =>
      rm(volume, { recursive: true, force: true })
        .then(() => execa('mkdir', [volume]))
        .then(() => undefined)
    const copied = { name: 'cp -a', command: ['cp', '-a', tree, join(folder, 'copy')], before: empty('copy') }
    const packed = { name: 'tar cz', command: ['tar', '-C', tree, '-czf', join(folder, 'tree.tgz'), '.'] }
    const again = { ...store, before: () => touch(join(tree, 'touched')) }
    const rows = [
      await pair('store source code', { ...store, before: fresh }, packed, 1.5, rounds),
      await pair('store source code', { ...store, before: fresh }, copied, 5, rounds),
    ]
    await execa(store.command[0]!, store.command.slice(1), { env: store.env })
    const retrieve = step('artifact-retrieve', { path: join(folder, 'back') }, ['bench/tree'])
    const unpack = {
      name: 'tar xz',
      command: ['tar', '-C', join(folder, 'unpacked'), '-xzf', join(folder, 'tree.tgz')],
      before: () =>
        empty('unpacked')()
          .then(() => execa('mkdir', [join(folder, 'unpacked')]))
          .then(() => undefined),
    }
    rows.push(
      await pair('retrieve source code, verified', { ...retrieve, before: empty('back') }, unpack, 3, rounds),
    )
    await touch(join(tree, 'touched'))
    await execa(store.command[0]!, store.command.slice(1), { env: { ...store.env, PARAM_OVERWRITE: 'true' } })
    rows.push(await pair('store again, unchanged', again, packed, 1, rounds))
    return rows
  })
}

/** The same content, written anew: an unchanged file with a new time. */
async function touch(path: string): Promise<void> {
  await writeFile(path, await readFile(path).catch(() => 'same'))
}
