import { existsSync } from 'node:fs'
import { chmod, copyFile, cp, mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll } from 'vitest'
import { bundle } from '../../images/bundle.ts'

let installing: Promise<string> | undefined

/**
 * The steps as the image has them, bundled beside a Node of their own, in a folder that every user can read: the
 * checkout and its Node may lie in somebody's home.
 */
export function installed(): Promise<string> {
  installing ??= install()
  return installing
}

afterAll(async () => {
  if (installing) await rm(await installing, { recursive: true, force: true })
})

async function install(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'shared-workspace-installed-'))
  await chmod(folder, 0o755)
  await copyFile(process.execPath, join(folder, 'node'))
  await bundle(join(folder, 'steps'))
  const addon = join(import.meta.dirname, '../../node_modules/fs-ext')
  if (existsSync(addon)) {
    const to = join(folder, 'node_modules/fs-ext')
    await mkdir(dirname(to), { recursive: true })
    await cp(addon, to, { recursive: true })
  }
  return folder
}
