/** What two trees are compared by. */
import { startSha256 } from '../platform/hash.ts'
import { parseMode, type IndexEntry } from './artifact-index.ts'

/** Characters hashed at a time: each call costs as much as hashing a line. */
const MANY = 64 * 1024

/**
 * The digest of what a tree holds, whoever made it: one JSON line per entry, `[path, type, executable, size,
 * sha256, target]`, in the order of the paths. Other permission bits differ by umask and are left out.
 */
export function digestOfEntries(entries: Iterable<IndexEntry>): string {
  const hash = startSha256()
  let lines = ''
  for (const entry of entries) {
    lines += `${JSON.stringify(contentOf(entry))}\n`
    if (lines.length < MANY) continue
    hash.update(lines)
    lines = ''
  }
  return `sha256:${hash.update(lines).digest('hex')}`
}

/** What makes two entries of one path the same content. */
export function contentOf(entry: IndexEntry): unknown[] {
  switch (entry.type) {
    case 'file':
      return [entry.path, entry.type, isExecutable(entry.mode), entry.size, entry.sha256, null]
    case 'dir':
      return [entry.path, entry.type, false, 0, null, null]
    case 'symlink':
      return [entry.path, entry.type, false, 0, null, entry.target]
  }
}

export const isExecutable = (mode: string): boolean => (parseMode(mode) & 0o100) !== 0
