/** Reading files that others made: whole, and in pieces with read-ahead. */
import { constants } from 'node:fs'
import type * as nodefs from 'node:fs/promises'
import { at, naming, open } from './fs.ts'

/** What is read, and held in memory, at a time. */
export const CHUNK = 1024 * 1024

/** Opens a file for reading; fails for a symlink (ELOOP), does not wait for a fifo's writer. */
export function openNoFollow(path: string): Promise<nodefs.FileHandle> {
  return open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
}

/** Reads up to `length` bytes from `start` on; fewer where the file ends before. */
export async function readAt(
  handle: nodefs.FileHandle,
  path: string,
  start: number,
  length: number,
): Promise<Buffer> {
  await at('read', path)
  const buffer = Buffer.allocUnsafe(length)
  let filled = 0
  while (filled < length) {
    const { bytesRead } = await naming(path, handle.read(buffer, filled, length - filled, start + filled))
    if (bytesRead === 0) break
    filled += bytesRead
  }
  return buffer.subarray(0, filled)
}

/** The bytes from `start` up to `end` in chunks, the next one being read while one is used; fewer at the file's end. */
export async function* readChunks(
  handle: nodefs.FileHandle,
  path: string,
  start: number,
  end: number,
): AsyncGenerator<Buffer, void, void> {
  const readFrom = (position: number): Promise<Buffer> => {
    const reading = readAt(handle, path, position, Math.min(CHUNK, end - position))
    // The failure is met where the chunk is awaited.
    reading.catch(() => {})
    return reading
  }
  let position = start
  let next = readFrom(position)
  try {
    while (position < end) {
      const chunk = await next
      if (chunk.length === 0) return
      position += chunk.length
      next = readFrom(position)
      yield chunk
    }
  } finally {
    // The caller closes the handle: not while a read is under way on it.
    await next.catch(() => {})
  }
}
