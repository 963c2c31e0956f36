/**
 * Writes what an archive holds, by rules that are the same for all kinds: nothing outside of the folder, nothing but
 * files, folders and links, each name once. Links are made when all files are there, so that nothing is ever written
 * through one.
 */
import { join } from 'node:path'
import { checkLinks, checkPath, parentOf } from '../../artifacts/safe-path.ts'
import { errno, WorkspaceError } from '../../errors.ts'
import * as fs from '../../platform/fs.ts'

export interface ContentOptions {
  folder: string
  /** How many names are taken off the front of each path; what has no more is left out. */
  strip: number
  /** The most that may come out of it, in bytes. */
  maxBytes: number
  /** What went in: more than so many times of it is refused as well. */
  archiveBytes: number
  signal: AbortSignal
}

export interface ContentWriter {
  folder(path: string): Promise<void>
  file(path: string, mode: number, content: AsyncIterable<Uint8Array>): Promise<void>
  symlink(path: string, target: string): void
  /** Another name for a file that came before. */
  hardLink(path: string, target: string): void
  /** Makes the links. */
  finish(): Promise<void>
}

/** Modes only stop accidents: a tool is written once. */
const [FILE, PROGRAM] = [0o444, 0o555]
const [SETUID, SETGID] = [0o4000, 0o2000]

const MAX_ENTRIES = 200_000
const MAX_PATH_BYTES = 1024
/** gzip cannot do more than about 1,000; programs are at 3 to 10. Small archives may be what they like. */
const [MAX_RATIO, RATIO_FROM] = [200, 64 * 1024 * 1024]

export function contentWriter(options: ContentOptions): ContentWriter {
  const { folder, strip, signal } = options
  const seen = new Map<string, 'file' | 'folder' | 'link'>()
  const symlinks = new Map<string, string>()
  const hardLinks = new Map<string, string>()
  let [entries, bytes] = [0, 0]

  /** The path below the folder; undefined for what is stripped. */
  function place(path: string): string | undefined {
    signal.throwIfAborted()
    if (++entries > MAX_ENTRIES) throw unsafe('too many entries', `at most ${MAX_ENTRIES}`, 'more')
    const names = safely(path)
    return names.length > strip ? names.slice(strip).join('/') : undefined
  }

  async function makeFolder(path: string): Promise<void> {
    const kind = seen.get(path)
    if (path === '' || kind === 'folder') return
    if (kind) throw twice(path)
    await makeFolder(parentOf(path))
    seen.set(path, 'folder')
    if (!(await fs.mkdir(join(folder, path)))) throw twice(path)
  }

  async function claim(path: string, kind: 'file' | 'link'): Promise<void> {
    if (seen.has(path)) throw twice(path)
    await makeFolder(parentOf(path))
    seen.set(path, kind)
  }

  function count(more: number): void {
    bytes += more
    const most = Math.min(options.maxBytes, Math.max(RATIO_FROM, options.archiveBytes * MAX_RATIO))
    if (bytes > most)
      throw unsafe(
        'more comes out of it than may',
        `at most ${most} bytes of ${options.archiveBytes}`,
        'more',
      )
  }

  return {
    async folder(path) {
      const at = place(path)
      if (at !== undefined) await makeFolder(at)
    },
    async file(path, mode, content) {
      const at = place(path)
      if (mode & (SETUID | SETGID))
        throw unsafe(`${show(path)} is setuid or setgid`, 'plain files', octal(mode))
      if (at !== undefined) await claim(at, 'file')
      await write(
        at === undefined ? undefined : join(folder, at),
        mode & 0o111 ? PROGRAM : FILE,
        content,
        count,
      )
    },
    symlink(path, target) {
      const at = place(path)
      if (at === undefined) return
      if (symlinks.has(at) || hardLinks.has(at)) throw twice(at)
      symlinks.set(at, target)
    },
    hardLink(path, target) {
      const [at, to] = [place(path), safely(target).slice(strip).join('/')]
      if (at === undefined) return
      if (symlinks.has(at) || hardLinks.has(at)) throw twice(at)
      hardLinks.set(at, to)
    },
    async finish() {
      for (const [at, to] of hardLinks) {
        if (seen.get(to) !== 'file')
          throw unsafe(`${show(at)} is a link to ${show(to)}`, 'a file of the archive', 'none')
        await claim(at, 'link')
        await fs.link(join(folder, to), join(folder, at))
      }
      asUnsafe(() => checkLinks(symlinks))
      for (const [at, target] of symlinks) {
        await claim(at, 'link')
        await fs.symlink(target, join(folder, at))
      }
    },
  }
}

/** The names of a path in an archive. @throws WorkspaceError ARCHIVE_UNSAFE */
function safely(path: string): string[] {
  const names = path.replace(/^(\.\/+)+/, '').replace(/\/+$/, '')
  if (names === '' || names === '.') return []
  if (Buffer.byteLength(names) > MAX_PATH_BYTES)
    throw unsafe('a path is too long', `at most ${MAX_PATH_BYTES} bytes`, show(names.slice(0, 80)))
  asUnsafe(() => checkPath(names))
  return names.split('/')
}

function asUnsafe(check: () => unknown): void {
  try {
    check()
  } catch (error) {
    if (!(error instanceof WorkspaceError)) throw error
    throw unsafe('a path leads out of it, or is none', error.expected ?? '', error.found ?? '')
  }
}

/** To the disk at once: when the folder takes its name, what is in it must be there. */
async function write(
  path: string | undefined,
  mode: number,
  content: AsyncIterable<Uint8Array>,
  count: (bytes: number) => void,
): Promise<void> {
  const handle = path === undefined ? undefined : await create(path)
  try {
    for await (const chunk of content) {
      count(chunk.length)
      if (handle) await fs.write(handle, chunk, path!)
    }
    if (!handle) return
    await handle.chmod(mode).catch(fs.ignoreDenied)
    await fs.sync(handle, path!)
  } finally {
    await handle?.close()
  }
}

async function create(path: string): Promise<fs.FileHandle> {
  try {
    return await fs.create(path)
  } catch (error) {
    // Two names that this file system takes for one.
    if (errno(error) === 'EEXIST') throw twice(path)
    throw error
  }
}

const show = (path: string): string => JSON.stringify(path)
const octal = (mode: number): string => `mode 0${(mode & 0o7777).toString(8)}`

const twice = (path: string): WorkspaceError =>
  unsafe(`${show(path)} is in it twice`, 'each name once, and nothing below a file or link', 'another')

export function unsafe(what: string, expected: string, found: string, cause?: unknown): WorkspaceError {
  return new WorkspaceError('ARCHIVE_UNSAFE', `the archive is refused: ${what}`, {
    expected,
    found,
    hint: 'nothing of it was kept; look at what the URL gives, and at archive, strip and maxBytes',
    cause,
  })
}
