/** One hash for the names and contents of the files that some globs match. */
import { startSha256 } from '../platform/hash.ts'
import { join } from 'node:path'
import picomatch from 'picomatch'
import { comparePaths } from '../artifacts/index.ts'
import { errno, WorkspaceError } from '../errors.ts'
import * as fs from '../platform/fs.ts'
import { hashFile } from '../platform/hash-file.ts'

/** 128 bits: no two trees meet by accident, and a key has room for three. */
const HEX_DIGITS = 32

/**
 * The hash of what matches in `base`. It depends on the paths, the bytes of files and the targets of symlinks; not on
 * times, modes or the order of the globs. A glob that begins with `!` excludes what it matches and what is below;
 * `.git` is never looked into.
 * @returns 32 hexadecimal digits
 * @throws WorkspaceError USAGE for globs that lead out of `base`, SOURCE_NOT_FOUND where nothing matches
 */
export async function hashFiles(base: string, globs: readonly string[]): Promise<string> {
  globs.forEach(checkGlob)
  const wanted = globs.filter((glob) => !glob.startsWith('!')).map((glob) => glob.replace(/^(\.\/)+/, ''))
  const excluded = globs.filter((glob) => glob.startsWith('!')).map((glob) => glob.slice(1))
  const matches = picomatch(wanted, { dot: true })
  const excludes = picomatch(excluded, { dot: true })
  const found = new Map<string, fs.Dirent>()
  for (const start of new Set(wanted.map((glob) => picomatch.scan(glob).base))) {
    for await (const [path, entry] of below(base, start, excludes)) if (matches(path)) found.set(path, entry)
  }
  if (found.size === 0) throw nothingMatches(base, globs)
  const hash = startSha256()
  for (const [path, entry] of [...found].sort(([a], [b]) => comparePaths(a, b))) {
    const content = entry.isSymbolicLink()
      ? ['symlink', await fs.readlink(join(base, path))]
      : ['file', (await hashFile(join(base, path))).sha256]
    hash.update(`${JSON.stringify([path, ...content])}\n`)
  }
  return hash.digest('hex').slice(0, HEX_DIGITS)
}

/** The files and symlinks at and below `path`, which is relative to `base`. */
async function* below(
  base: string,
  path: string,
  excludes: (path: string) => boolean,
): AsyncGenerator<[path: string, entry: fs.Dirent], void, void> {
  if (path !== '' && !(await isFolder(join(base, path)))) {
    // A path without wildcards, or a folder that is not there: look for it in the folder above.
    const slash = path.lastIndexOf('/')
    const above = await namesIn(join(base, path.slice(0, Math.max(0, slash))))
    const entry = above.find(({ name }) => name === path.slice(slash + 1))
    if (entry && isLeaf(entry) && !excludes(path)) yield [path, entry]
    return
  }
  for (const entry of await namesIn(join(base, path))) {
    const inner = path === '' ? entry.name : `${path}/${entry.name}`
    if (entry.name === '.git' || excludes(inner)) continue
    if (entry.isDirectory()) yield* below(base, inner, excludes)
    else if (isLeaf(entry)) yield [inner, entry]
  }
}

const isLeaf = (entry: fs.Dirent): boolean => entry.isFile() || entry.isSymbolicLink()

async function namesIn(folder: string): Promise<fs.Dirent[]> {
  return fs.list(folder).catch((error: unknown) => {
    if (errno(error) === 'ENOTDIR') return []
    throw error
  })
}

async function isFolder(path: string): Promise<boolean> {
  return fs.lstat(path).then(
    (stats) => stats.isDirectory(),
    (error: unknown) => {
      if (['ENOENT', 'ENOTDIR'].includes(errno(error) ?? '')) return false
      throw error
    },
  )
}

function checkGlob(glob: string): void {
  const path = glob.replace(/^!/, '')
  if (path !== '' && !path.startsWith('/') && !path.split('/').includes('..')) return
  throw new WorkspaceError('USAGE', `hashFiles cannot look for ${JSON.stringify(glob)}`, {
    expected: "globs inside the folder of the sources, such as '**/package-lock.json'",
    found: JSON.stringify(glob),
    hint: 'bind the workspace source to the folder that the files are in',
  })
}

function nothingMatches(base: string, globs: readonly string[]): WorkspaceError {
  return new WorkspaceError('SOURCE_NOT_FOUND', `hashFiles found no file in ${base}`, {
    expected: `a file that matches ${globs.join(', ')}`,
    found: 'none',
    hint: 'look whether the sources are there already, and what the globs are relative to',
  })
}
