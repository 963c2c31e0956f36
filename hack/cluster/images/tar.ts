import { createReadStream, createWriteStream } from 'node:fs'
import { mkdir, rename, rm, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { pack, type Pack } from 'tar-stream'

/** One thing in an archive. At most one of `from`, `text`, `linkTo`: a file or symlink; none makes a folder. */
export interface TarEntry {
  /** Where it lies, with `/`. A leading one is dropped. */
  path: string
  /** A file to copy. */
  from?: string
  /** The content of a small text file. */
  text?: string
  /** The target of a symlink. */
  linkTo?: string
  /** Default: 0o755 for folders and copied files, 0o644 for text. */
  mode?: number
  /** Default: 0. */
  uid?: number
  /** Default: 0. */
  gid?: number
}

/** 1970: the archive is the same for the same content, whenever it is made. */
const EPOCH = new Date(0)

/** Writes an archive of the entries in their order, whole or not at all. The same entries give the same bytes. */
export async function writeTar(entries: readonly TarEntry[], out: string): Promise<void> {
  const part = `${out}.${process.pid}.part`
  await mkdir(dirname(out), { recursive: true })
  const tar = pack()
  try {
    await Promise.all([pipeline(tar, createWriteStream(part)), addAll(tar, entries)])
    await rename(part, out)
  } finally {
    await rm(part, { force: true })
  }
}

async function addAll(tar: Pack, entries: readonly TarEntry[]): Promise<void> {
  try {
    for (const entry of entries) await add(tar, entry)
    tar.finalize()
  } catch (error) {
    // Ends the writer too, which would wait for ever for the rest.
    tar.destroy()
    throw error
  }
}

async function add(tar: Pack, entry: TarEntry): Promise<void> {
  const { path, from, text, linkTo, mode, uid = 0, gid = 0 } = entry
  const base = { name: nameInTar(path), uid, gid, mtime: EPOCH }
  if (from !== undefined) {
    const { size } = await stat(from)
    await pipeline(createReadStream(from), tar.entry({ ...base, type: 'file', size, mode: mode ?? 0o755 }))
  } else if (text !== undefined) {
    tar.entry({ ...base, type: 'file', mode: mode ?? 0o644 }, text)
  } else if (linkTo !== undefined) {
    tar.entry({ ...base, type: 'symlink', linkname: linkTo, mode: 0o777 })
  } else {
    tar.entry({ ...base, type: 'directory', mode: mode ?? 0o755 })
  }
}

export function nameInTar(path: string): string {
  return path.replace(/^\/+|\/+$/g, '')
}
