/** One upload: a temporary file beside the blobs, whose size is how far it has come. */
import { createHash, type Hash } from 'node:crypto'
import type { Readable } from 'node:stream'
import { ignoreMissing } from '../errors.ts'
import { openToAppend } from '../platform/append.ts'
import * as fs from '../platform/fs.ts'
import { readChunks } from '../platform/read.ts'
import type { PutBlob } from '../stores/store.ts'
import { publishTemporary } from '../volume/publish.ts'

export interface Upload {
  id: string
  path: string
  /** By this process's monotonic clock. */
  usedAt: number
  /** Read from the file when it is first asked for. */
  progress?: Promise<Progress>
  writer?: { stream: Readable; ended: Promise<unknown> }
  finished?: Promise<PutBlob>
}

/** What is known of the bytes in the file. */
export interface Progress {
  offset: number
  hash: Hash
}

/** Bytes after which what was received is flushed, so that the flush at the end is short. */
const FLUSH_EVERY = 64 * 1024 * 1024
const BLOB_MODE = 0o444

/** Ends whoever is appending: its client has come back by another connection, or has given up. */
export async function cut(upload: Upload): Promise<void> {
  while (upload.writer) {
    upload.writer.stream.destroy()
    await upload.writer.ended
  }
}

export function progressOf(upload: Upload): Promise<Progress> {
  upload.progress ??= readProgress(upload.path).catch((error: unknown) => {
    delete upload.progress
    throw error
  })
  return upload.progress
}

async function readProgress(path: string): Promise<Progress> {
  const progress = { offset: 0, hash: createHash('sha256') }
  const handle = await fs.open(path, 'r')
  try {
    for await (const chunk of readChunks(handle, path, 0, Number.MAX_SAFE_INTEGER)) {
      progress.hash.update(chunk)
      progress.offset += chunk.length
    }
  } finally {
    await handle.close()
  }
  return progress
}

/** Appends what a request carries; what was received before a failure stays. */
export async function receive(
  upload: Upload,
  progress: Progress,
  stream: Readable,
  onBytes: (count: number) => void,
): Promise<void> {
  const handle = await openToAppend(upload.path)
  try {
    // Where a write fails, the connection stays: its client shall hear of it.
    const chunks: AsyncIterable<Buffer> = stream.iterator({ destroyOnReturn: false })
    for await (const chunk of chunks) {
      await write(handle, upload, chunk)
      progress.hash.update(chunk)
      progress.offset += chunk.length
      onBytes(chunk.length)
      if (progress.offset % FLUSH_EVERY < chunk.length) await fs.sync(handle, upload.path)
    }
  } finally {
    await handle.close()
  }
}

async function write(handle: fs.FileHandle, upload: Upload, chunk: Uint8Array): Promise<void> {
  try {
    await fs.write(handle, chunk, upload.path)
  } catch (error) {
    // How much of the chunk is there, only the file can tell.
    delete upload.progress
    throw error
  }
}

/** Gives a whole upload the name of its blob. @returns false where somebody else did that first */
export async function publishUpload({ path }: Upload, blob: string): Promise<boolean> {
  const handle = await openToAppend(path)
  try {
    await fs.sync(handle, path)
  } finally {
    await handle.close()
  }
  await fs.chmod(path, BLOB_MODE)
  return publishTemporary(path, blob)
}

/** Removes the file. @returns the bytes that it had; 0 where they are a blob's now */
export async function unlinkUpload({ path }: Upload): Promise<number> {
  const { size, nlink } = await fs.lstat(path).catch(() => ({ size: 0, nlink: 0 }))
  await fs.unlink(path).catch(ignoreMissing)
  return nlink === 1 ? size : 0
}
