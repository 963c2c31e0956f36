/** Writes artifacts into a folder that does not exist: all of it is there at once, or nothing. */
import { join } from 'node:path'
import { filesIn } from '../platform/files.ts'
import type { BlobStore } from '../stores/store.ts'
import { publishFolder } from '../volume/publish.ts'
import { parseMode, type FolderEntry } from './artifact-index.ts'
import { ofType, type Selected } from './select.ts'
import { writeFiles } from './write-files.ts'

/** @returns false where `target` came to be meanwhile; it is left as it is. */
export async function writeNewFolder(
  target: string,
  selected: readonly Selected[],
  store: BlobStore,
  signal: AbortSignal,
): Promise<boolean> {
  return publishFolder(target, async (folder) => {
    const files = await filesIn(folder)
    const folders = ofType(selected, 'dir').map(({ entry }) => entry)
    for (const { path } of folders) await files.mkdir(join(folder, path))
    await writeFiles(store, ofType(selected, 'file'), ({ entry }) => join(folder, entry.path), signal)
    for (const { entry } of ofType(selected, 'symlink'))
      await files.symlink(entry.target, join(folder, entry.path))
    await setModes(folder, folders)
  })
}

/**
 * Sets the modes of folders, the deepest first, once nothing more is written into them. Their setgid bit stays:
 * it belongs to the place.
 */
export async function setModes(
  root: string,
  folders: readonly Pick<FolderEntry, 'path' | 'mode'>[],
): Promise<void> {
  const files = await filesIn(root)
  for (const { path, mode } of folders.toReversed()) {
    const folder = join(root, path)
    const special = (await files.lstat(folder)).mode & 0o7000
    await files.chmod(folder, special | parseMode(mode))
  }
}
