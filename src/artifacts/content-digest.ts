/** The content digest of a folder as it is, without storing it. */
import { startSha256 } from '../platform/hash.ts'
import { formatMode, type IndexEntry } from './artifact-index.ts'
import { digestOfEntries } from './digest.ts'
import { inOrder } from './in-order.ts'
import { readLarge } from './read-source.ts'
import { walk, type SourceEntry } from './walk.ts'

const FILES_AT_ONCE = 4

/**
 * What `storeArtifact` would give as the content digest of `source`.
 * @throws WorkspaceError SOURCE_NOT_FOUND, SOURCE_CHANGED, UNSAFE_PATH, UNSUPPORTED_FILE
 */
export async function contentDigestOf(
  source: string,
  signal = new AbortController().signal,
): Promise<string> {
  const entries: IndexEntry[] = []
  const hash = (entry: SourceEntry): Promise<IndexEntry> => hashed(entry, signal)
  for await (const entry of inOrder((await walk(source)).entries, FILES_AT_ONCE, hash)) entries.push(entry)
  return digestOfEntries(entries)
}

async function hashed(entry: SourceEntry, signal: AbortSignal): Promise<IndexEntry> {
  if (entry.type === 'symlink') return entry
  const { path } = entry
  const mode = formatMode(entry.mode)
  if (entry.type === 'dir') return { type: 'dir', path, mode }
  const hash = startSha256()
  for await (const chunk of readLarge(entry, signal)) hash.update(chunk)
  return { type: 'file', path, mode, size: entry.size, sha256: hash.digest('hex'), layer: 0, offset: 0 }
}
