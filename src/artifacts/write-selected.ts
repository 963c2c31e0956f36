/** Writes what was selected into a folder that need not exist. */
import { dirname } from 'node:path'
import { errno } from '../errors.ts'
import * as fs from '../platform/fs.ts'
import type { BlobStore } from '../stores/store.ts'
import { conflict } from './compare-target.ts'
import { writeIntoFolder } from './existing-folder.ts'
import { writeNewFolder } from './new-folder.ts'
import type { Selected } from './select.ts'

/**
 * A folder that does not exist appears all at once; into one that exists, only names that are free are written.
 * @throws WorkspaceError TARGET_CONFLICT, UNSAFE_PATH, DIGEST_MISMATCH; the target is as it was then
 */
export async function writeSelected(
  target: string,
  selected: Selected[],
  blobs: BlobStore,
  signal: AbortSignal,
): Promise<void> {
  const there = await existing(target)
  if (there === undefined) {
    await fs.mkdirp(dirname(target))
    if (await writeNewFolder(target, selected, blobs, signal)) return
  }
  // Either it was there, or somebody made it while this was written.
  await writeIntoFolder(there ?? (await existing(target)) ?? target, selected, blobs, signal)
}

/** The real path of the target folder, or undefined where there is nothing. */
async function existing(target: string): Promise<string | undefined> {
  try {
    if ((await fs.stat(target)).isDirectory()) return await fs.realpath(target)
  } catch (error) {
    if (errno(error) !== 'ENOENT')
      throw errno(error) === 'ENOTDIR' ? conflict(target, ['(not a folder)']) : error
    if (!(await isDangling(target))) return undefined
  }
  throw conflict(target, ['the target itself (not a folder)'])
}

async function isDangling(target: string): Promise<boolean> {
  return fs.lstat(target).then(
    () => true,
    () => false,
  )
}
