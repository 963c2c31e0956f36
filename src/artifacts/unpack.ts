/** Reads files out of a pack: only the frames that hold them, each frame once. */
import { WorkspaceError } from '../errors.ts'
import * as zstd from '../platform/zstd.ts'
import type { BlobStore, Digest } from '../stores/store.ts'
import type { FileEntry, Pack } from './artifact-index.ts'
import { FRAME } from './format.ts'
import { inOrder } from './in-order.ts'

const FRAMES_AHEAD = 4

interface Frame {
  n: number
  bytes: Buffer
}

/**
 * The bytes of files of one pack, unverified, in the order of their offsets: as many at a time as end in one frame.
 * @throws WorkspaceError DIGEST_MISMATCH where a frame is not what the index says
 */
export async function* readPacked<F extends { entry: FileEntry }>(
  store: BlobStore,
  layer: Digest,
  pack: Pack,
  files: readonly F[],
): AsyncGenerator<{ file: F; content: Buffer }[], void, void> {
  const sorted = files.toSorted((a, b) => a.entry.offset - b.entry.offset)
  const frames = readFrames(store, layer, pack, neededFrames(sorted))
  const held = new Map<number, Buffer>()
  let newest = -1
  let batch: { file: F; content: Buffer }[] = []
  try {
    for (const file of sorted) {
      const [first, last] = frameSpan(file.entry)
      if (newest < last) {
        yield batch
        batch = []
      }
      for (const n of held.keys()) if (n < first) held.delete(n)
      while (newest < last) {
        const { value } = await frames.next()
        if (!value) throw damaged(layer, 'it ends before its last frame')
        held.set(value.n, value.bytes)
        newest = value.n
      }
      batch.push({ file, content: cut(file.entry, held) })
    }
    yield batch
  } finally {
    await frames.return()
  }
}

/** The first and the last frame of a file; an empty file needs none. */
function frameSpan({ offset, size }: FileEntry): [first: number, last: number] {
  return [Math.floor(offset / FRAME), size === 0 ? -1 : Math.ceil((offset + size) / FRAME) - 1]
}

function neededFrames(files: readonly { entry: FileEntry }[]): number[] {
  const needed = new Set<number>()
  for (const { entry } of files) {
    const [first, last] = frameSpan(entry)
    for (let n = first; n <= last; n++) needed.add(n)
  }
  return [...needed].sort((a, b) => a - b)
}

function cut({ offset, size }: FileEntry, held: ReadonlyMap<number, Buffer>): Buffer {
  const pieces: Buffer[] = []
  for (let at = offset; at < offset + size; at = (Math.floor(at / FRAME) + 1) * FRAME) {
    const frame = held.get(Math.floor(at / FRAME)) ?? Buffer.alloc(0)
    pieces.push(frame.subarray(at % FRAME, (at % FRAME) + offset + size - at))
  }
  return pieces.length === 1 && pieces[0] ? pieces[0] : Buffer.concat(pieces)
}

/** Frames in ascending order; those that lie together are read as one range. */
async function* readFrames(
  store: BlobStore,
  layer: Digest,
  pack: Pack,
  needed: readonly number[],
): AsyncGenerator<Frame, void, void> {
  const decompress = async ({ n, bytes }: Frame): Promise<Frame> => ({
    n,
    bytes: await inflate(layer, pack, n, bytes),
  })
  yield* inOrder(compressedFrames(store, layer, pack, needed), FRAMES_AHEAD, decompress)
}

async function* compressedFrames(
  store: BlobStore,
  layer: Digest,
  pack: Pack,
  needed: readonly number[],
): AsyncGenerator<Frame, void, void> {
  const starts: number[] = []
  pack.frames.reduce((start, size, n) => ((starts[n] = start), start + size), 0)
  const endOf = (n: number): number => (starts[n] ?? 0) + (pack.frames[n] ?? 0)
  for (let i = 0; i < needed.length;) {
    const run = runFrom(needed, i)
    i += run.length
    const [first = 0, last = first] = [run[0], run.at(-1)]
    const offset = starts[first] ?? 0
    const sizes = run.map((n) => pack.frames[n] ?? 0)
    let n = first
    for await (const bytes of pieces(store.get(layer, { offset, length: endOf(last) - offset }), sizes)) {
      yield { n: n++, bytes }
    }
  }
}

/** The neighbouring numbers from position `i` on. */
function runFrom(numbers: readonly number[], i: number): number[] {
  let end = i + 1
  while (end < numbers.length && numbers[end] === (numbers[end - 1] ?? 0) + 1) end++
  return numbers.slice(i, end)
}

/** Cuts a stream into pieces of the given sizes; the last pieces are missing where it is short. */
async function* pieces(
  chunks: AsyncIterable<Uint8Array>,
  sizes: readonly number[],
): AsyncGenerator<Buffer, void, void> {
  let ahead: Uint8Array[] = []
  let length = 0
  let next = 0
  for await (const chunk of chunks) {
    ahead.push(chunk)
    length += chunk.length
    for (let size = sizes[next]; size !== undefined && length >= size; size = sizes[++next]) {
      // A copy only where it spans chunks.
      const all = ahead[1]
        ? Buffer.concat(ahead)
        : Buffer.from(ahead[0]!.buffer, ahead[0]!.byteOffset, ahead[0]!.length)
      yield all.subarray(0, size)
      ahead = [all.subarray(size)]
      length -= size
    }
  }
}

async function inflate(layer: Digest, pack: Pack, n: number, frame: Buffer): Promise<Buffer> {
  const size = Math.min(FRAME, pack.size - n * FRAME)
  try {
    // Never more than a frame may hold: a handmade one could grow to gigabytes. One piece of output that is not quite
    // filled: a full one would be followed by another trip to the thread pool.
    const bytes = await zstd.decompress(frame, { maxOutputLength: FRAME, chunkSize: FRAME + 1 })
    if (bytes.length === size) return bytes
    throw damaged(layer, `frame ${n} holds ${bytes.length} bytes instead of ${size}`)
  } catch (error) {
    throw error instanceof WorkspaceError ? error : damaged(layer, `frame ${n} cannot be decompressed`, error)
  }
}

function damaged(layer: Digest, found: string, cause?: unknown): WorkspaceError {
  return new WorkspaceError('DIGEST_MISMATCH', `the pack ${layer} is damaged`, {
    found,
    hint: 'the storage damaged it or somebody changed it: run the task that made the artifact again',
    cause,
  })
}
