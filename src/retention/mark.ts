/**
 * The mark: which blobs of the store nothing refers to. It needs no lock, so it may miss what is published while it
 * looks; that is why a blob has to be unreferenced in marks far apart before it is swept, and once more before it is
 * purged.
 */
import { join, relative } from 'node:path'
import { ignoreMissing, toWorkspaceError, WorkspaceError } from '../errors.ts'
import * as fs from '../platform/fs.ts'
import { bringBack, contentOf, listBatches } from '../stores/bring-back.ts'
import type { Digest } from '../stores/store.ts'
import type { Layout } from '../volume/layout.ts'
import type { Volume } from '../volume/volume.ts'
import { fileNow } from './file-clock.ts'
import { isOurs } from './is-ours.ts'
import { readLayouts, type Layouts } from './layouts.ts'
import { readRecord, type MarkRecord } from './mark-record.ts'

/** A batch of swept blobs in trash. */
export interface SweptBatch {
  /** Relative to the root. */
  path: string
  blobs: Digest[]
  /** What its purge gives back: blobs that were brought back stay in the store. */
  bytes: number
  /** When the last blob was moved into it, by the volume's file clock, in ms. */
  sweptMs: number
}

export interface Mark extends Layouts {
  /** Before the first and after the last look, by the volume's file clock, in ms. */
  startMs: number
  endMs: number
  /** The blobs of the store, in order. */
  blobs: Digest[]
  /** Those that nothing refers to, with their bytes. */
  unreferenced: Map<Digest, number>
  /** What an artifact needs and nobody has. */
  missing: Set<Digest>
  batches: SweptBatch[]
  /** What the marks before this one found. */
  before: MarkRecord
}

/**
 * Marks. What was swept although something refers to it comes back at once. Never throws: what cannot be read is
 * among the problems.
 */
export async function mark(volume: Volume, now = fileNow): Promise<Mark> {
  const { layout } = volume
  const problems: Mark['problems'] = []
  const attempt = async <T>(path: string, otherwise: T, work: () => Promise<T>): Promise<T> => {
    try {
      return await work()
    } catch (error) {
      problems.push({ path: relative(layout.root, path), why: toWorkspaceError(error).message })
      return otherwise
    }
  }
  const startMs = await now(layout)
  // Blobs before what refers to them: what is published in between is then seen to refer.
  const blobs = await attempt(layout.blobs, [], () => listStore(layout))
  const seen = await readLayouts(volume)
  problems.push(...seen.problems)
  const there = new Set(blobs)
  const unreferenced = new Set(blobs)
  const missing = new Set<Digest>()
  for (const digest of new Set(seen.layouts.flatMap((one) => one.blobs))) {
    unreferenced.delete(digest)
    if (there.has(digest)) continue
    if (!(await attempt(layout.blob(digest), false, () => bringBack(layout, digest)))) missing.add(digest)
  }
  const none = new Map<Digest, number>()
  return {
    startMs,
    endMs: await now(layout),
    blobs,
    layouts: seen.layouts,
    problems,
    missing,
    unreferenced: await attempt(layout.blobs, none, () => sizes(layout, unreferenced)),
    batches: await attempt(layout.trash, [], () => readBatches(layout)),
    before: await attempt(layout.marks, none, () => readRecord(layout)),
  }
}

async function listStore(layout: Layout): Promise<Digest[]> {
  const folder = join(layout.blobs, 'sha256')
  const blobs = await listBlobs(folder)
  if (blobs.length === 0 || (await isOurs(layout.root, folder))) return blobs
  throw new WorkspaceError('UNSAFE_PATH', `a symlink leads to ${folder}`, { hint: 'sweep it by hand' })
}

async function listBlobs(folder: string): Promise<Digest[]> {
  const names = (await fs.list(folder)).map(({ name }) => name)
  return names.filter((name) => /^[0-9a-f]{64}$/.test(name)).map((hex) => `sha256:${hex}`)
}

async function sizes(layout: Layout, blobs: Iterable<Digest>): Promise<Map<Digest, number>> {
  const bytes = new Map<Digest, number>()
  for (const digest of blobs) {
    const stats = await lstatIfThere(layout.blob(digest))
    if (stats) bytes.set(digest, stats.size)
  }
  return bytes
}

async function readBatches(layout: Layout): Promise<SweptBatch[]> {
  const batches: SweptBatch[] = []
  for (const batch of await listBatches(layout)) {
    const content = contentOf(batch)
    // Without it, its collector was killed: a purge at its end, or a sweep at its beginning.
    const folder = (await lstatIfThere(content)) ?? (await lstatIfThere(batch))
    if (!folder) continue
    const blobs = await listBlobs(content)
    let bytes = 0
    for (const digest of blobs) {
      const stats = await lstatIfThere(join(content, digest.slice('sha256:'.length)))
      if (stats?.nlink === 1) bytes += stats.size
    }
    // Each move into the folder gives it a new time, and so does what a purge began: that only makes it younger.
    batches.push({ path: relative(layout.root, batch), blobs, bytes, sweptMs: folder.mtimeMs })
  }
  return batches
}

/** Two collectors at once are harmless: what the other has taken is simply not there. */
async function lstatIfThere(path: string): Promise<fs.Stats | undefined> {
  return fs.lstat(path).catch((error: unknown) => {
    ignoreMissing(error)
    return undefined
  })
}
