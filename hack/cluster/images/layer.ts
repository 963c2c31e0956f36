import { posix } from 'node:path'
import { nameInTar, writeTar, type TarEntry } from './tar.ts'

/**
 * Writes an image's layer as a tar that is not compressed. Entries are sorted and the folders above them added
 * (0755, root), owners are numbers and times are fixed, so the same entries give the same bytes.
 */
export async function writeLayer(entries: readonly TarEntry[], out: string): Promise<void> {
  await writeTar(withParents(entries), out)
}

/** Later entries win over earlier ones of the same path. */
function withParents(entries: readonly TarEntry[]): TarEntry[] {
  const all = new Map<string, TarEntry>()
  for (const entry of entries) {
    const name = nameInTar(entry.path)
    for (let folder = posix.dirname(name); folder !== '.'; folder = posix.dirname(folder))
      if (!all.has(folder)) all.set(folder, { path: folder })
    all.set(name, entry)
  }
  return [...all].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, entry]) => entry)
}
