/** What is to be written: the files of several artifacts that match, as one tree without contradictions. */
import picomatch from 'picomatch'
import { WorkspaceError } from '../errors.ts'
import { linksOf, type IndexEntry } from './artifact-index.ts'
import { contentOf } from './digest.ts'
import type { Artifact } from './manifest.ts'
import { checkLinks, comparePaths, parentOf } from './safe-path.ts'

/** An entry to be written, and the artifact that holds its bytes. */
export interface Selected<E extends IndexEntry = IndexEntry> {
  entry: E
  artifact: Artifact
}

/** The entries of an artifact that match one of the globs, with the folders they are in; all without globs. */
export function matching(artifact: Artifact, globs: readonly string[]): Selected[] {
  const { entries } = artifact.index
  if (globs.length === 0) return entries.map((entry) => ({ entry, artifact }))
  const matches = picomatch([...globs], { dot: true })
  const wanted = new Set<string>()
  for (const { path } of entries) {
    if (!matches(path)) continue
    for (let at = path; at !== '' && !wanted.has(at); at = parentOf(at)) wanted.add(at)
  }
  return entries.flatMap((entry) => (wanted.has(entry.path) ? [{ entry, artifact }] : []))
}

/**
 * Several selections as one tree, in the order of the paths.
 * @throws WorkspaceError TARGET_CONFLICT where two give one path other content
 */
export function merge(selections: readonly Selected[][]): Selected[] {
  const byPath = new Map<string, Selected>()
  for (const selected of selections.flat()) {
    const other = byPath.get(selected.entry.path)
    if (!other) byPath.set(selected.entry.path, selected)
    else checkSame(other.entry, selected.entry)
  }
  const merged = [...byPath.values()].sort((a, b) => comparePaths(a.entry.path, b.entry.path))
  // Each tree was checked by itself; a symlink of one may lead out through a symlink of another.
  checkLinks(linksOf(merged.map(({ entry }) => entry)))
  return merged
}

function checkSame(a: IndexEntry, b: IndexEntry): void {
  const [expected, found] = [JSON.stringify(contentOf(a)), JSON.stringify(contentOf(b))]
  if (expected === found) return
  throw new WorkspaceError(
    'TARGET_CONFLICT',
    `two of the artifacts hold ${JSON.stringify(a.path)} with other content`,
    {
      expected,
      found,
      hint: 'retrieve them into two folders, or leave the file out by the parameter files',
    },
  )
}

/** The selected entries of one type. */
export function ofType<T extends IndexEntry['type']>(
  selected: readonly Selected[],
  type: T,
): Selected<Extract<IndexEntry, { type: T }>>[] {
  return selected.filter((one): one is Selected<Extract<IndexEntry, { type: T }>> => one.entry.type === type)
}
