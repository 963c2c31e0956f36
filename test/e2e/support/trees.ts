/** Folders as data, to compare what is on the volume. */
import { createHash } from 'node:crypto'
import { lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { join, relative } from 'node:path'

export const sha256 = (data: string | Buffer): string => createHash('sha256').update(data).digest('hex')

/** What is below a folder: each path with what tells whether it is the same. */
function tree(folder: string, tell: (path: string) => string): Record<string, string> {
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true })
  const paths = entries.map((entry) => join(entry.parentPath, entry.name)).sort()
  return Object.fromEntries(paths.map((path) => [relative(folder, path), tell(path)]))
}

/** Bytes, permissions and link targets. */
export const contentOf = (folder: string): Record<string, string> =>
  tree(folder, (path) => {
    const stat = lstatSync(path)
    if (stat.isSymbolicLink()) return `-> ${readlinkSync(path)}`
    const mode = (stat.mode & 0o777).toString(8)
    return stat.isDirectory() ? `folder ${mode}` : `${mode} ${stat.size} ${sha256(readFileSync(path))}`
  })

/** The bytes alone. */
export const filesOf = (folder: string): Record<string, string> => {
  const files = Object.entries(contentOf(folder)).filter(([, what]) => /^\d/.test(what))
  return Object.fromEntries(files.map(([path, what]) => [path, what.split(' ')[2]!]))
}

/** Everything that a write would change, times and owners included. */
export const stateOf = (folder: string): Record<string, string> =>
  tree(folder, (path) => {
    const { mode, uid, gid, size, mtimeMs, ino } = lstatSync(path)
    return [mode.toString(8), uid, gid, size, mtimeMs, ino].join(' ')
  })
