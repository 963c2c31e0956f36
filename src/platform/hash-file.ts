import { at, naming } from './fs.ts'
import { startSha256 } from './hash.ts'
import { openNoFollow } from './read.ts'

/** Small enough for a processor's cache; large ones cost more to make and to clear away than to hash. */
const PIECE = 256 * 1024

export interface HashedFile {
  /** 64 hexadecimal digits. */
  sha256: string
  size: number
  mode: number
}

/** Reads a file and nothing else; fails for a symlink (ELOOP). One piece is read while another is hashed. */
export async function hashFile(path: string, signal?: AbortSignal): Promise<HashedFile> {
  const handle = await openNoFollow(path)
  try {
    const { mode, size: expected } = await handle.stat()
    const length = Math.max(1, Math.min(PIECE, expected))
    const buffers = [Buffer.allocUnsafe(length), Buffer.allocUnsafe(length)] as const
    const hash = startSha256()
    const readInto = async (buffer: Buffer, position: number): Promise<Buffer> => {
      await at('read', path)
      const { bytesRead } = await naming(path, handle.read(buffer, 0, buffer.length, position))
      return buffer.subarray(0, bytesRead)
    }
    let size = 0
    let piece = await readInto(buffers[0], 0)
    for (let n = 1; piece.length > 0; n++) {
      signal?.throwIfAborted()
      size += piece.length
      const next = readInto(buffers[n % 2]!, size)
      hash.update(piece)
      piece = await next
    }
    return { sha256: hash.digest('hex'), size, mode }
  } finally {
    await handle.close()
  }
}
