/** What two trees are compared by. */
import { sha256OfLines } from '../platform/hash.ts'
import { parseMode, type IndexEntry } from './artifact-index.ts'

/**
 * The digest of what a tree holds, whoever made it: one JSON line per entry, `[path, type, executable, size,
 * sha256, target]`, in the order of the paths. Other permission bits differ by umask and are left out.
 */
export const digestOfEntries = (entries: readonly IndexEntry[]): string =>
  `sha256:${sha256OfLines(linesOf(entries))}`

function* linesOf(entries: readonly IndexEntry[]): Generator<string, void, void> {
  for (const entry of entries) yield JSON.stringify(contentOf(entry))
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
