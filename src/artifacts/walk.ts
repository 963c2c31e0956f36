/** Lists what is to be stored, and refuses what cannot be stored faithfully. */
import { isUtf8 } from 'node:buffer'
import { basename, dirname } from 'node:path'
import { errno, WorkspaceError } from '../errors.ts'
import { filesIn, type Files } from '../platform/files.ts'
import * as fs from '../platform/fs.ts'
import { saveMemory } from '../platform/host.ts'
import { run, soon, type Soon, type Steps } from '../platform/soon.ts'
import { TEMPORARY } from '../volume/publish.ts'
import { forEachInOrder } from './in-order.ts'
import { checkLinks, comparePaths } from './safe-path.ts'

export interface SourceFile {
  type: 'file'
  path: string
  /** Where it is read from. */
  from: string
  /** Permission bits. */
  mode: number
  size: number
  ino: number
  mtimeMs: number
  ctimeMs: number
}

export type SourceEntry =
  SourceFile | { type: 'dir'; path: string; mode: number } | { type: 'symlink'; path: string; target: string }

/** Entries of which there are so many that memory is worth a thought. */
const MANY = 10_000

const SPECIAL_BITS = 0o7000
/** What this product stages in a folder while it works: never part of what users store. */
const STAGING = new RegExp(`^\\${TEMPORARY}[0-9a-f]{12}$`)

/** What is to be stored, and the way to read it. */
export interface Source {
  /** In the order of their paths. */
  entries: SourceEntry[]
  files: Files
}

/**
 * The entries of the folder `source`; of a file, that file under its own name.
 * @throws WorkspaceError SOURCE_NOT_FOUND, SOURCE_CHANGED, UNSAFE_PATH, UNSUPPORTED_FILE
 */
export async function walk(source: string): Promise<Source> {
  const real = await fs.realpath(source).catch((error: unknown) => {
    throw ['ENOENT', 'ENOTDIR'].includes(errno(error) ?? '') ? notFound(source) : error
  })
  const stats = await fs.lstat(real)
  const files = await filesIn(stats.isDirectory() ? real : dirname(real))
  if (!stats.isDirectory())
    return { entries: [await run(entryOf(files, real, basename(source), stats))], files }
  const entries: SourceEntry[] = []
  const listing = (folder: string): Soon<Name[]> => run(list(files, real, folder))
  const looking = (name: Name): Soon<SourceEntry> => run(look(files, name))
  // Level by level, so that what is under way stays small, however many names there are.
  for (let folders = ['']; folders.length > 0;) {
    const below: string[] = []
    while (folders.length > 0) {
      const names: Name[] = []
      const some = folders.splice(0, files.together)
      await forEachInOrder(some, files.together, listing, (found) => void names.push(...found))
      await forEachInOrder(names, files.together, looking, (entry) => {
        entries.push(entry)
        if (entry.type === 'dir') below.push(`${entry.path}/`)
      })
    }
    if (entries.length + below.length > MANY) saveMemory()
    folders = below
  }
  entries.sort((a, b) => comparePaths(a.path, b.path))
  checkLinks(
    new Map(entries.flatMap((entry) => (entry.type === 'symlink' ? [[entry.path, entry.target]] : []))),
  )
  return { entries, files }
}

interface Name {
  from: string
  path: string
}

/** The names in a folder, which is given as '' or as its path and a slash. */
function* list(files: Files, root: string, folder: string): Steps<Name[]> {
  const at = `${root}/${folder}`
  const names = (yield* unchanged(at, () => files.names(at))).map((bytes) => decode(bytes, at, 'name'))
  return (
    names
      .filter((name) => !STAGING.test(name))
      .map((name) => at + name)
      // A slice shares the memory of the whole.
      .map((from) => ({ from, path: from.slice(root.length + 1) }))
  )
}

function* look(files: Files, { from, path }: Name): Steps<SourceEntry> {
  const stats = yield* unchanged(from, () => files.lstat(from))
  return yield* entryOf(files, from, path, stats)
}

function* entryOf(files: Files, from: string, path: string, stats: fs.Stats): Steps<SourceEntry> {
  const mode = stats.mode & 0o777
  // A folder's setgid bit is what keeps the group on a shared volume: it belongs to the place, not to the content.
  if (stats.isDirectory()) return { type: 'dir', path, mode }
  if (stats.isSymbolicLink())
    return {
      type: 'symlink',
      path,
      target: decode(yield* unchanged(from, () => files.target(from)), from, 'target'),
    }
  if (!stats.isFile()) throw unsupported(from, 'a device, socket or fifo')
  if (stats.mode & SPECIAL_BITS) throw unsupported(from, 'a file with a setuid, setgid or sticky bit')
  const { size, ino, mtimeMs, ctimeMs } = stats
  return { type: 'file', path, from, mode, size, ino, mtimeMs, ctimeMs }
}

function decode(bytes: Buffer, at: string, what: string): string {
  if (isUtf8(bytes)) return bytes.toString()
  throw new WorkspaceError('UNSUPPORTED_FILE', `a ${what} at ${at} is not UTF-8`, {
    expected: 'names in UTF-8',
    found: JSON.stringify(bytes.toString('latin1')),
    hint: 'rename it, for example by convmv',
  })
}

function unsupported(path: string, found: string): WorkspaceError {
  return new WorkspaceError('UNSUPPORTED_FILE', `${path} cannot be stored`, {
    expected: 'plain files, folders and symlinks',
    found,
    hint: 'remove it, take the bit away (chmod a-s,-t), or store another folder',
  })
}

function notFound(source: string): WorkspaceError {
  return new WorkspaceError('SOURCE_NOT_FOUND', `there is nothing at ${source}`, {
    expected: 'a file or folder to store',
    found: 'neither',
    hint: 'look whether an earlier step made it, and what the parameter path is relative to',
  })
}

/** What was listed must still be there when it is looked at. */
export function* unchanged<T>(path: string, look: () => Soon<T>): Steps<T> {
  try {
    return yield* soon(look())
  } catch (error) {
    throw ['ENOENT', 'ENOTDIR', 'ELOOP'].includes(errno(error) ?? '') ? sourceChanged(path, 'gone') : error
  }
}

export function sourceChanged(path: string, found: string): WorkspaceError {
  return new WorkspaceError('SOURCE_CHANGED', `${path} changed while it was being stored`, {
    expected: 'a tree at rest',
    found,
    hint: 'store it after everything that writes to it has ended',
  })
}
