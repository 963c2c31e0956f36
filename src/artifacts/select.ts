/** What is to be written: the files of several artifacts that match, as one tree without contradictions. */
import picomatch from 'picomatch'
import { WorkspaceError } from '../errors.ts'
import { linksOf, type IndexEntry } from './artifact-index.ts'
import { contentOf } from './digest.ts'
import type { Artifact } from './manifest.ts'
import type { Conflicts } from './conflicts.ts'
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

/** Takes `names` names off the front of each path; what has no more than that is left out. */
export function stripped(selected: Selected[], names: number): Selected[] {
  if (names === 0) return selected
  return selected.flatMap(({ entry, artifact }) => {
    const path = entry.path.split('/').slice(names).join('/')
    return path === '' ? [] : [{ artifact, entry: { ...entry, path } }]
  })
}

/**
 * Several selections as one tree, in the order of the paths.
 * @throws WorkspaceError TARGET_CONFLICT where two give one path other content and the policy is `fail`
 */
export function merge(selections: readonly Selected[][], policy: Conflicts): Selected[] {
  const byPath = new Map<string, Selected>()
  for (const selected of policy === 'last' ? selections.toReversed() : selections) {
    for (const one of inOrderOfPaths(selected)) {
      const other = byPath.get(one.entry.path)
      if (other && policy === 'fail') checkSame(other.entry, one.entry)
      if (!other && !isBelowOther(one.entry.path, byPath)) byPath.set(one.entry.path, one)
    }
  }
  const merged = inOrderOfPaths(byPath.values())
  // Each tree was checked by itself; a symlink of one may lead out through a symlink of another.
  checkLinks(linksOf(merged.map(({ entry }) => entry)))
  return merged
}

const inOrderOfPaths = (selected: Iterable<Selected>): Selected[] =>
  [...selected].sort((a, b) => comparePaths(a.entry.path, b.entry.path))

/** Whether what has won a path above is no folder. Its folder itself comes before it, so one look suffices. */
function isBelowOther(path: string, byPath: ReadonlyMap<string, Selected>): boolean {
  const folder = parentOf(path)
  return folder !== '' && byPath.get(folder)?.entry.type !== 'dir'
}

function checkSame(a: IndexEntry, b: IndexEntry): void {
  const [expected, found] = [JSON.stringify(contentOf(a)), JSON.stringify(contentOf(b))]
  if (expected === found) return
  throw new WorkspaceError(
    'TARGET_CONFLICT',
    `two files to be retrieved have the path ${JSON.stringify(a.path)}`,
    {
      expected,
      found,
      hint: 'retrieve them into two folders, leave the file out by the parameter files, or say by the parameter conflicts which one wins',
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
