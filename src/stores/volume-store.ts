/** Blobs on the shared volume: `store/blobs/sha256/<hex>`, each a read-only file that is never written again. */
import { startSha256 } from '../platform/hash.ts'
import { dirname, relative } from 'node:path'
import { errno, ignoreMissing, WorkspaceError } from '../errors.ts'
import * as fs from '../platform/fs.ts'
import { readChunks } from '../platform/read.ts'
import type { Layout } from '../volume/layout.ts'
import { publishTemporary, temporaryBeside } from '../volume/publish.ts'
import { checkDigest, missingBlob } from './digest.ts'
import { bringBack } from './bring-back.ts'
import type { BlobStore, Digest, PutBlob } from './store.ts'

const BLOB_MODE = 0o444

/** More collectors than ever sweep side by side. */
const SWEEPS_AT_ONCE = 8

/** Bytes held in memory before any is written: what is no longer, and is here already, is never written. */
export const HELD = 8 * 1024 * 1024

export function volumeStore(layout: Layout): BlobStore {
  return {
    place: layout.blobs,
    size: (digest) => sizeOf(openFresh(layout, digest)),
    put: (content, again) => put(layout, content, again),
    async *get(digest, range) {
      const handle = await openFresh(layout, digest).catch((error: unknown) => {
        throw errno(error) === 'ENOENT' ? missingBlob(digest, layout.blobs, error) : error
      })
      const path = layout.blob(digest)
      try {
        const [start, length] = range ? [range.offset, range.length] : [0, Number.MAX_SAFE_INTEGER]
        yield* readChunks(handle, path, start, start + length)
      } finally {
        await handle.close()
      }
    },
    notes: {
      read: (name) => fs.readFile(layout.note(name)).catch(() => undefined),
      write: (name, note) => writeNote(layout.note(name), note).catch(() => {}),
    },
  }
}

/** Not flushed: what a crash leaves of it is damaged, which its reader notices. */
async function writeNote(path: string, note: string): Promise<void> {
  const temporary = temporaryBeside(path)
  await fs.mkdirp(dirname(path))
  try {
    const handle = await fs.create(temporary)
    try {
      await fs.write(handle, Buffer.from(note), temporary)
    } finally {
      await handle.close()
    }
    await fs.link(temporary, path)
  } finally {
    await fs.unlink(temporary).catch(ignoreMissing)
  }
}

type Content = AsyncIterable<Uint8Array>

/**
 * Longer content whose beginning is known is likely to be here, so it is only hashed at first. Where it turns out
 * to be new, it is read `again` and written.
 */
async function put(layout: Layout, content: Content, again?: () => Content): Promise<PutBlob> {
  const incoming = hashing(content)
  try {
    const held: Uint8Array[] = []
    const ended = await take(incoming.chunks, held)
    const beginning = layout.beginning(incoming.soFar().digest)
    if (!ended && again && (await isThere(beginning))) {
      for await (const _ of incoming.chunks);
      return (await existing(layout, incoming.soFar())) ?? (await put(layout, again()))
    }
    if (ended) {
      const found = await existing(layout, incoming.soFar())
      if (found) return found
    }
    const blob = await write(layout, held, incoming)
    if (!ended) await rememberBeginning(beginning, layout.blob(blob.digest))
    return blob
  } finally {
    await incoming.chunks.return()
  }
}

interface Incoming {
  chunks: AsyncGenerator<Uint8Array, void, void>
  /** The digest and the bytes of what has been taken from `chunks`. */
  soFar(): { digest: Digest; size: number }
}

function hashing(content: Content): Incoming {
  const hash = startSha256()
  let size = 0
  return {
    chunks: (async function* () {
      for await (const chunk of content) {
        hash.update(chunk)
        size += chunk.length
        yield chunk
      }
    })(),
    soFar: () => ({ digest: `sha256:${hash.copy().digest('hex')}`, size }),
  }
}

/** Takes chunks up to HELD bytes. @returns whether that was all */
async function take(chunks: Incoming['chunks'], held: Uint8Array[]): Promise<boolean> {
  for (let size = 0; size < HELD;) {
    const { value } = await chunks.next()
    if (!value) return true
    held.push(value)
    size += value.length
  }
  return false
}

/** A quick look saves writing; where it misses what is there, link(2) does not. */
async function existing(
  layout: Layout,
  blob: { digest: Digest; size: number },
): Promise<PutBlob | undefined> {
  const path = layout.blob(blob.digest)
  const there = await sizeOf(fs.open(path, 'r'))
  return there === undefined ? undefined : reuse(blob, there, path)
}

async function write(layout: Layout, held: Uint8Array[], incoming: Incoming): Promise<PutBlob> {
  const temporary = temporaryBeside(layout.blob('new'))
  await fs.mkdirp(dirname(temporary))
  try {
    const handle = await fs.create(temporary, BLOB_MODE)
    try {
      await writeAll(handle, temporary, held, incoming.chunks)
      const found = await existing(layout, incoming.soFar())
      if (found) return found
      await fs.sync(handle, temporary)
    } finally {
      await handle.close()
    }
    const blob = incoming.soFar()
    const path = layout.blob(blob.digest)
    if (await publishTemporary(temporary, path)) return { ...blob, isNew: true }
    return reuse(blob, await sizeOf(openFresh(layout, blob.digest)), path)
  } finally {
    await fs.unlink(temporary).catch(ignoreMissing)
  }
}

/** While one chunk is written, the next is read and hashed. */
async function writeAll(
  handle: fs.FileHandle,
  path: string,
  held: Uint8Array[],
  more: Content,
): Promise<void> {
  const start = (data: Uint8Array | Uint8Array[]): Promise<void> => {
    const writing = fs.write(handle, data, path)
    // The failure is met where it is awaited.
    writing.catch(() => {})
    return writing
  }
  let writing = start(held)
  // The handle is closed after this: not while a write is under way on it.
  try {
    for await (const chunk of more) {
      await writing
      writing = start(chunk)
    }
  } finally {
    await writing
  }
}

/** Beginnings are symlinks to blobs: a convenience without promises, that may dangle and be lost. */
async function rememberBeginning(beginning: string, blob: string): Promise<void> {
  await fs.mkdirp(dirname(beginning))
  await fs.symlink(relative(dirname(beginning), blob), beginning).catch(() => undefined)
}

const isThere = (path: string): Promise<boolean> =>
  fs.stat(path).then(
    () => true,
    () => false,
  )

function reuse(blob: { digest: Digest; size: number }, found: number | undefined, path: string): PutBlob {
  if (found === blob.size) return { ...blob, isNew: false }
  throw new WorkspaceError('DIGEST_MISMATCH', `the blob ${path} is damaged`, {
    expected: `${blob.size} bytes`,
    found: found === undefined ? 'a name that cannot be opened' : `${found} bytes`,
    hint: 'move this file away and run the task again: it then writes the blob anew',
  })
}

/** By opening it: over NFS a stat may tell of a blob that is gone. */
async function sizeOf(opening: Promise<fs.FileHandle>): Promise<number | undefined> {
  let handle: fs.FileHandle
  try {
    handle = await opening
  } catch (error) {
    ignoreMissing(error)
    return undefined
  }
  try {
    return (await handle.stat()).size
  } finally {
    await handle.close()
  }
}

/**
 * Opens a blob. Over NFS a name that this client missed once stays missing for up to half a minute, unless the
 * folder is listed: so ENOENT is believed only after that. And a sweep may have met a writer: whoever misses a blob
 * looks for it in trash.
 */
async function openFresh(layout: Layout, digest: Digest): Promise<fs.FileHandle> {
  const path = layout.blob(checkDigest(digest))
  for (let attempt = 1; ; attempt++) {
    try {
      return await fs.open(path, 'r')
    } catch (error) {
      ignoreMissing(error)
      // Another collector, with an older plan, may sweep it once more at this moment.
      if (attempt > SWEEPS_AT_ONCE || !(await bringBack(layout, digest))) throw error
    }
  }
}
