/** Writes artifacts into a folder that exists: conflicts first, then everything staged and verified, then moved. */
import { join } from 'node:path'
import * as fs from '../platform/fs.ts'
import type { BlobStore } from '../stores/store.ts'
import { temporaryBeside } from '../volume/publish.ts'
import { findMissing } from './compare-target.ts'
import { complete, completeAll, writeJournal, type Journal } from './journal.ts'
import { ofType, type Selected } from './select.ts'
import { writeFiles } from './write-files.ts'

/** @throws WorkspaceError TARGET_CONFLICT, UNSAFE_PATH, DIGEST_MISMATCH; the target is as it was then */
export async function writeIntoFolder(
  target: string,
  selected: readonly Selected[],
  store: BlobStore,
  signal: AbortSignal,
): Promise<void> {
  await completeAll(target)
  const missing = await findMissing(target, selected)
  if (missing.length === 0) return
  const staging = temporaryBeside(join(target, 'staging'))
  try {
    await stage(staging, missing, store, signal)
  } catch (error) {
    await fs.removeTree(staging)
    throw error
  }
  await complete(target, staging)
}

/** Writes the files side by side under numbers, and what shall become of them into the journal. */
async function stage(
  staging: string,
  missing: readonly Selected[],
  store: BlobStore,
  signal: AbortSignal,
): Promise<void> {
  const files = ofType(missing, 'file')
  const numbers = new Map(files.map(({ entry }, n) => [entry.path, String(n)]))
  const journal: Journal = {
    folders: ofType(missing, 'dir').map(({ entry }) => entry),
    files: files.map(({ entry }, n) => ({ staged: String(n), entry })),
    links: ofType(missing, 'symlink').map(({ entry }) => entry),
  }
  await fs.mkdir(staging)
  await writeFiles(store, files, ({ entry }) => join(staging, numbers.get(entry.path) ?? ''), signal)
  signal.throwIfAborted()
  await writeJournal(staging, journal)
}
