/** Compares what is to be written with what an existing folder holds. */
import { startSha256 } from '../platform/hash.ts'
import { join } from 'node:path'
import { errno, WorkspaceError } from '../errors.ts'
import * as fs from '../platform/fs.ts'
import { openNoFollow, readChunks } from '../platform/read.ts'
import type { FileEntry, IndexEntry } from './artifact-index.ts'
import { isExecutable } from './digest.ts'
import { parentOf } from './safe-path.ts'
import type { Selected } from './select.ts'

const SHOWN = 5

/**
 * Those of `selected` that `target` lacks. What is there with the same content is fine and stays as it is.
 * @throws WorkspaceError TARGET_CONFLICT, UNSAFE_PATH; nothing has been written then
 */
export async function findMissing(target: string, selected: readonly Selected[]): Promise<Selected[]> {
  const missing: Selected[] = []
  const absent = new Set<string>()
  const conflicts: string[] = []
  for (const one of selected) {
    const { entry } = one
    const state = absent.has(parentOf(entry.path)) ? 'absent' : await compare(target, entry)
    if (state === 'same') continue
    if (state === 'absent') {
      missing.push(one)
      absent.add(entry.path)
    } else conflicts.push(`${entry.path} (${state.found})`)
    // What would lie below a conflict is no news.
    if (typeof state === 'object' && entry.type === 'dir') absent.add(entry.path)
  }
  if (conflicts.length > 0) throw conflict(target, conflicts)
  return missing
}

export function conflict(target: string, names: readonly string[]): WorkspaceError {
  const more = names.length > SHOWN ? ` and ${names.length - SHOWN} more` : ''
  return new WorkspaceError(
    'TARGET_CONFLICT',
    `${target} has other content at ${names.length} of the names to be written`,
    {
      expected: 'names that are free, or hold the same content',
      found: names.slice(0, SHOWN).join(', ') + more,
      hint: 'retrieve into another folder, or move these away',
    },
  )
}

/** Whether the name of an entry is free in `target`, holds the same, or something else. */
export async function compare(
  target: string,
  entry: IndexEntry,
): Promise<'absent' | 'same' | { found: string }> {
  const path = join(target, entry.path)
  const stats = await fs.lstat(path).catch((error: unknown) => {
    if (errno(error) === 'ENOENT') return undefined
    throw error
  })
  if (!stats) return 'absent'
  switch (entry.type) {
    case 'dir':
      if (stats.isSymbolicLink()) await refuseLeadingOut(target, path)
      return stats.isDirectory() ? 'same' : { found: 'not a folder' }
    case 'symlink':
      if (!stats.isSymbolicLink()) return { found: 'not a symlink' }
      return (await fs.readlink(path)) === entry.target ? 'same' : { found: 'a symlink to something else' }
    case 'file':
      if (!stats.isFile()) return { found: 'not a file' }
      return (await sameFile(path, stats, entry)) ? 'same' : { found: 'another file' }
  }
}

async function sameFile(path: string, stats: fs.Stats, entry: FileEntry): Promise<boolean> {
  const executable = (stats.mode & 0o100) !== 0
  if (stats.size !== entry.size || executable !== isExecutable(entry.mode)) return false
  const hash = startSha256()
  const handle = await openNoFollow(path)
  try {
    for await (const chunk of readChunks(handle, path, 0, entry.size)) hash.update(chunk)
  } finally {
    await handle.close()
  }
  return hash.digest('hex') === entry.sha256
}

/** Nothing is written through a symlink; one that leads out of the target is more than a conflict. */
async function refuseLeadingOut(target: string, link: string): Promise<void> {
  const inside = await fs.realpath(link).catch(() => '')
  if (inside === target || inside.startsWith(`${target}/`)) return
  throw new WorkspaceError('UNSAFE_PATH', `${link} is a symlink that leads out of the target`, {
    expected: 'a folder to write into',
    found: await fs.readlink(link),
    hint: 'remove the symlink, or retrieve into another folder',
  })
}
