/** The trees that are stored, made of what every checkout has: the same packages give the same trees. */
import { createCipheriv } from 'node:crypto'
import { copyFile, lstat, mkdir, open, readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

export const MODULES = join(import.meta.dirname, '../../node_modules')
const SOURCE = /\.(js|mjs|cjs|ts|mts|json|md|map|css|html)$/
const MB = 1_000_000
const MiB = 1024 * 1024

/** Source code: 3,340 files and 50 MB of the packages' own, `times` over. */
export async function sourceCode(folder: string, times = 1): Promise<string> {
  const chosen = await sources(3340, 50 * MB)
  for (let n = 0; n < times; n++) {
    for (const path of chosen) {
      const to = join(folder, `copy-${n}`, path)
      await mkdir(dirname(to), { recursive: true })
      await copyFile(join(MODULES, path), to)
    }
  }
  return folder
}

/** So many of the packages' source files that have so many bytes together: small and large ones by turns. */
async function sources(files: number, bytes: number): Promise<string[]> {
  const [small, large]: [File[], File[]] = [[], []]
  for (const path of (await readdir(MODULES, { recursive: true })).sort()) {
    if (!SOURCE.test(path) || path.startsWith('.')) continue
    const stats = await stat(join(MODULES, path))
    if (!stats.isFile() || stats.size >= MB) continue
    const fitting = stats.size < bytes / files ? small : large
    fitting.push({ path, size: stats.size })
  }
  const chosen: string[] = []
  for (let total = 0; chosen.length < files;) {
    const next = (total * files > bytes * chosen.length ? small : large).shift()
    if (!next) throw new Error('the packages have fewer source files than the tree needs')
    chosen.push(next.path)
    total += next.size
  }
  return chosen
}

interface File {
  path: string
  size: number
}

/** Files of `bytes` text each, a hundred to a folder. */
export async function smallFiles(folder: string, files: number, bytes: number): Promise<string> {
  for (let n = 0; n < files; n++) {
    const inside = join(folder, `folder-${Math.floor(n / 100)}`)
    if (n % 100 === 0) await mkdir(inside, { recursive: true })
    await writeFile(join(inside, `file-${n}.txt`), `file ${n} of many\n`.repeat(bytes / 16).slice(0, bytes))
  }
  return folder
}

/** One file that does not compress. */
export async function binary(folder: string, mebibytes: number): Promise<string> {
  await mkdir(folder, { recursive: true })
  const random = createCipheriv('aes-128-ctr', Buffer.alloc(16), Buffer.alloc(16))
  const file = await open(join(folder, 'binary'), 'w')
  for (let n = 0; n < mebibytes; n++) await file.writeFile(random.update(Buffer.alloc(MiB)))
  await file.close()
  return folder
}

/** Changes a byte in every hundredth file; in a single file, in every hundredth MiB. */
export async function changeOnePercent(folder: string): Promise<void> {
  const found = (await readdir(folder, { recursive: true, withFileTypes: true })).filter((e) => e.isFile())
  const files = found.map((e) => join(e.parentPath, e.name)).sort()
  if (files.length > 1) {
    for (let n = 0; n < files.length; n += 100) {
      const content = await readFile(files[n]!)
      await writeFile(files[n]!, Buffer.concat([content, Buffer.from('.')]))
    }
    return
  }
  const file = await open(files[0]!, 'r+')
  const { size } = await file.stat()
  for (let at = 0; at < size; at += 100 * MiB) await file.write(Buffer.from('changed'), 0, 7, at)
  await file.close()
}

/** Waits until nothing has changed in a folder for a minute: what changed a moment ago is not known for sure. */
export async function atRest(folder: string): Promise<void> {
  let newest = 0
  for (const path of await readdir(folder, { recursive: true }))
    newest = Math.max(newest, (await lstat(join(folder, path))).ctimeMs)
  await sleep(Math.max(0, newest + 61_000 - Date.now()))
}
