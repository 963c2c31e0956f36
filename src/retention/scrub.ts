/**
 * The scrub: re-hashes blobs of the store, some in each call, and moves those that are not what their digest says
 * out of the way, so that the next store of the same content writes them anew.
 */
import { startSha256 } from '../platform/hash.ts'
import { basename, join, relative } from 'node:path'
import * as z from '../zod.ts'
import { errno, ignoreMissing, toWorkspaceError } from '../errors.ts'
import type { Emit } from '../events.ts'
import { parseJson } from '../json.ts'
import * as fs from '../platform/fs.ts'
import { readChunks } from '../platform/read.ts'
import { shortId } from '../platform/random.ts'
import type { Digest } from '../stores/store.ts'
import type { Layout } from '../volume/layout.ts'
import { listEntries } from '../volume/publish.ts'
import type { Volume } from '../volume/volume.ts'
import type { StoredLayout } from './layouts.ts'
import { replaceEntry } from './mark-record.ts'
import { usersOf } from './users-of.ts'

export interface ScrubPlan {
  blobs: Digest[]
  bytes: number
}

export interface Scrubbed {
  /** Not what their digest says; moved away where that could be done. */
  damaged: Digest[]
  unreadable: number
}

/** How much is hashed before it is written down how far the scrub has come: a killed one repeats no more. */
const SAVE_EVERY = 1024 ** 3

const Progress = z.object({ v: z.literal(1), after: z.string() })

/**
 * The next blobs in the order of their digests, after the one that the last call ended with and round again, of
 * `budget` bytes in all; one at least, however large. None for a budget of 0.
 */
export async function planScrub(layout: Layout, all: readonly Digest[], budget: number): Promise<ScrubPlan> {
  const plan: ScrubPlan = { blobs: [], bytes: 0 }
  if (budget === 0) return plan
  const after = await readProgress(layout)
  const begin = all.findIndex((digest) => digest > after)
  for (const digest of begin < 0 ? all : [...all.slice(begin), ...all.slice(0, begin)]) {
    const size = await fs.lstat(layout.blob(digest)).then(
      (stats) => stats.size,
      () => 0,
    )
    if (plan.blobs.length > 0 && plan.bytes + size > budget) break
    plan.blobs.push(digest)
    plan.bytes += size
  }
  return plan
}

/** Re-hashes the blobs of a plan. What cannot be read is reported and stays where it is: that may pass. */
export async function scrub(
  volume: Volume,
  { blobs }: ScrubPlan,
  layouts: readonly StoredLayout[],
  emit: Emit,
  signal: AbortSignal,
): Promise<Scrubbed> {
  const { layout } = volume
  const done: Scrubbed = { damaged: [], unreadable: 0 }
  let unsaved = 0
  let last: Digest | undefined
  const blocked = (path: string, error: unknown): void =>
    emit({ event: 'retention-blocked', path, why: toWorkspaceError(error).message })
  const save = async (): Promise<void> => {
    if (last === undefined) return
    const progress = JSON.stringify({ v: 1, after: last })
    await replaceEntry(layout.scrubs, progress).catch((error: unknown) => blocked('store/scrubs', error))
    unsaved = 0
  }
  const check = async (digest: Digest): Promise<void> => {
    const path = layout.blob(digest)
    const found = await hash(path)
    unsaved += found.bytes
    if (found.digest === digest) return
    const moved = await quarantine(layout, digest).catch((error: unknown) => {
      blocked(relative(layout.root, path), error)
      return path
    })
    if (moved === undefined) return
    done.damaged.push(digest)
    const artifacts = usersOf(digest, layouts, volume.id)
    emit({ event: 'blob-damaged', digest, path: relative(layout.root, moved), artifacts })
  }
  try {
    for (const digest of blobs) {
      signal.throwIfAborted()
      await check(digest).catch((error: unknown) => {
        // Swept since the plan was made.
        if (errno(error) === 'ENOENT') return
        done.unreadable++
        blocked(relative(layout.root, layout.blob(digest)), error)
      })
      last = digest
      if (unsaved >= SAVE_EVERY) await save()
    }
  } finally {
    await save()
  }
  return done
}

/**
 * Moves a bad blob away and looks again: where the first look erred, or another call had moved the bad one and
 * somebody stored it anew, the good one goes back.
 * @returns where it is, or undefined where it was good or is gone
 */
async function quarantine(layout: Layout, digest: Digest): Promise<string | undefined> {
  const path = layout.blob(digest)
  const moved = join(layout.quarantine, `${basename(path)}.${shortId()}`)
  await fs.mkdirp(layout.quarantine)
  try {
    await fs.rename(path, moved)
  } catch (error) {
    ignoreMissing(error)
    return undefined
  }
  await fs.syncFolder(layout.quarantine)
  // A read error says nothing new: the bytes were wrong.
  const again = await hash(moved).catch(() => undefined)
  if (again?.digest !== digest) return moved
  await fs.link(moved, path).catch((error: unknown) => {
    if (errno(error) !== 'EEXIST') throw error
  })
  await fs.unlink(moved).catch(ignoreMissing)
  return undefined
}

async function hash(path: string): Promise<{ digest: Digest; bytes: number }> {
  const sha256 = startSha256()
  const handle = await fs.open(path, 'r')
  let bytes = 0
  try {
    for await (const chunk of readChunks(handle, path, 0, Number.MAX_SAFE_INTEGER)) {
      sha256.update(chunk)
      bytes += chunk.length
    }
  } finally {
    await handle.close()
  }
  return { digest: `sha256:${sha256.digest('hex')}`, bytes }
}

async function readProgress({ scrubs }: Layout): Promise<Digest> {
  const newest = (await listEntries(scrubs)).at(-1)
  if (!newest) return ''
  const text = await fs.readFile(join(scrubs, newest.name)).catch((error: unknown) => {
    ignoreMissing(error)
    return ''
  })
  const parsed = Progress.safeParse(parseJson(text))
  return parsed.success ? parsed.data.after : ''
}
