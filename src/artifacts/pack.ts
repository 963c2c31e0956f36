/** Packs: tars of small files, folders and symlinks, compressed in frames that can be read one by one. */
import { createHash } from 'node:crypto'
import { promisify } from 'node:util'
import { constants, zstdCompress } from 'node:zlib'
import type { BlobStore, PutBlob } from '../stores/store.ts'
import { endsPack, FRAME, LARGE_FILE, ZSTD_LEVEL } from './format.ts'
import { inOrder } from './in-order.ts'
import { readSmall } from './read-source.ts'
import { padded, TAR_END, tarEntry } from './tar.ts'
import type { SourceEntry, SourceFile } from './walk.ts'

/** Memory of a pack being made: this many small files, and this many frames before and after compression. */
const FILES_AHEAD = 8
const FRAMES_AHEAD = 2

export interface StoredPack {
  blob: PutBlob
  /** Bytes of the tar. */
  size: number
  /** Compressed bytes of each frame. */
  frames: number[]
  /** What was learned of each file while it was packed. */
  files: Map<SourceFile, { sha256: string; offset: number }>
}

/**
 * Divides what is to be stored into packs and large files, by paths and sizes alone. Where there is no small
 * entry and no large file either, there is one empty pack: OCI wants a layer.
 */
export function plan(entries: readonly SourceEntry[]): { packs: SourceEntry[][]; large: SourceFile[] } {
  const packs: SourceEntry[][] = []
  const large: SourceFile[] = []
  let current: SourceEntry[] | undefined
  let packed = 0
  for (const entry of entries) {
    if (entry.type === 'file' && entry.size >= LARGE_FILE) {
      large.push(entry)
      continue
    }
    if (!current || endsPack(packed, entry.path)) {
      packs.push((current = []))
      packed = 0
    }
    current.push(entry)
    packed += entry.type === 'file' ? entry.size : 0
  }
  return { packs: packs.length + large.length > 0 ? packs : [[]], large }
}

/** Stores one pack. @throws WorkspaceError SOURCE_CHANGED, and what the store throws */
export async function storePack(
  store: BlobStore,
  members: SourceEntry[],
  signal: AbortSignal,
): Promise<StoredPack> {
  const pack: Omit<StoredPack, 'blob'> = { size: 0, frames: [], files: new Map() }
  const blob = await store.put(compressed(framesOf(tarOf(members, pack, signal)), pack.frames))
  return { blob, ...pack }
}

async function* tarOf(
  members: SourceEntry[],
  pack: Pick<StoredPack, 'size' | 'files'>,
  signal: AbortSignal,
): AsyncGenerator<Buffer, void, void> {
  const read = async (member: SourceEntry) => {
    signal.throwIfAborted()
    return { member, content: member.type === 'file' ? await readSmall(member) : Buffer.alloc(0) }
  }
  for await (const { member, content } of inOrder(members, FILES_AHEAD, read)) {
    const bytes = await tarEntry(member, content)
    pack.size += bytes.length
    if (member.type === 'file') {
      const sha256 = createHash('sha256').update(content).digest('hex')
      pack.files.set(member, { sha256, offset: pack.size - padded(member.size) })
    }
    yield bytes
  }
  pack.size += TAR_END.length
  yield TAR_END
}

/** Cuts a stream into pieces of exactly FRAME bytes; the last may be shorter. */
async function* framesOf(chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer, void, void> {
  let frame = Buffer.allocUnsafe(FRAME)
  let filled = 0
  for await (const chunk of chunks) {
    for (let taken = 0; taken < chunk.length;) {
      const copied = chunk.copy(frame, filled, taken)
      taken += copied
      filled += copied
      if (filled < FRAME) continue
      yield frame
      frame = Buffer.allocUnsafe(FRAME)
      filled = 0
    }
  }
  if (filled > 0) yield frame.subarray(0, filled)
}

async function* compressed(
  frames: AsyncIterable<Buffer>,
  sizes: number[],
): AsyncGenerator<Buffer, void, void> {
  for await (const bytes of inOrder(frames, FRAMES_AHEAD, compress)) {
    sizes.push(bytes.length)
    yield bytes
  }
}

const zstd = promisify(zstdCompress)

/** One independent frame, in the thread pool; it says how long its content is. */
function compress(frame: Buffer): Promise<Buffer> {
  return zstd(frame, {
    params: { [constants.ZSTD_c_compressionLevel]: ZSTD_LEVEL },
    pledgedSrcSize: frame.length,
    // One piece of output: each further one would be a trip to the thread pool and back.
    chunkSize: FRAME + 4096,
  })
}
