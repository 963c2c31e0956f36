/** Packs: tars of small files, folders and symlinks, compressed in frames that can be read one by one. */
import { wallNow } from '../platform/clock.ts'
import { sha256 } from '../platform/hash.ts'
import type { Soon } from '../platform/soon.ts'
import * as zstd from '../platform/zstd.ts'
import { constants } from 'node:zlib'
import type { Files } from '../platform/files.ts'
import type { BlobStore, PutBlob } from '../stores/store.ts'
import type { FileEntry } from './artifact-index.ts'
import { endsPack, FRAME, LARGE_FILE, ZSTD_LEVEL } from './format.ts'
import { inOrder } from './in-order.ts'
import { filesOf, recall, remember } from './known.ts'
import { readSmall } from './read-source.ts'
import { padded, TAR_END, tarHeader } from './tar.ts'
import type { SourceEntry, SourceFile } from './walk.ts'

/** Frames under way, before and after compression: one is filled while the thread pool compresses the others. */
const FRAMES_AHEAD = 3

export interface StoredPack {
  blob: PutBlob
  /** Bytes of the tar. */
  size: number
  /** Compressed bytes of each frame. */
  frames: number[]
}

/** Where the bytes of a file went. */
export type Place = Pick<FileEntry, 'sha256' | 'layer' | 'offset'>

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

/**
 * Stores one pack as the manifest's `layer` and notes where its files went in `places`.
 * @throws WorkspaceError SOURCE_CHANGED, and what the store throws
 */
export async function storePack(
  store: BlobStore,
  files: Files,
  members: SourceEntry[],
  layer: number,
  places: Map<SourceFile, Place>,
  signal: AbortSignal,
): Promise<StoredPack> {
  const known = await recall(store, files, members)
  if (known) {
    for (const [n, file] of filesOf(members).entries())
      places.set(file, { sha256: known.sha256[n]!, layer, offset: known.offsets[n]! })
    return known
  }
  const began = wallNow()
  const pack: Omit<StoredPack, 'blob'> = { size: 0, frames: [] }
  const content = () => {
    // Anew, where the store asks for it again.
    Object.assign(pack, { size: 0, frames: [] })
    return compressed(framesOf(files, members, pack, layer, places, signal), pack)
  }
  const blob = await store.put(content(), content)
  const placed = filesOf(members).map((file) => places.get(file)!)
  const [hashes, offsets] = [placed.map((place) => place.sha256), placed.map((place) => place.offset)]
  await remember(store, files, members, began, { blob, ...pack, sha256: hashes, offsets })
  return { blob, ...pack }
}

/** The frames of the tar of `members`. */
async function* framesOf(
  files: Files,
  members: SourceEntry[],
  pack: { size: number },
  layer: number,
  places: Map<SourceFile, Place>,
  signal: AbortSignal,
): AsyncGenerator<Buffer, void, void> {
  const { add, full, rest } = cutter()
  const read = (member: SourceEntry): Soon<Buffer> => {
    signal.throwIfAborted()
    return member.type === 'file' ? readSmall(files, member, take(spareContents, LARGE_FILE)) : EMPTY
  }
  const append = (member: SourceEntry, content: Buffer): void => {
    const header = tarHeader(member)
    if (member.type === 'file')
      places.set(member, { sha256: sha256(content), layer, offset: pack.size + header.length })
    const filler = TAR_END.subarray(0, padded(content.length) - content.length)
    pack.size += header.length + content.length + filler.length
    for (const part of [header, content, filler]) add(part)
    if (member.type === 'file') giveBack(spareContents, content)
  }
  if (files.together === 1) {
    for (const member of members) {
      const content = read(member)
      append(member, content instanceof Promise ? await content : content)
      for (let frame = full.shift(); frame; frame = full.shift()) yield frame
    }
  } else {
    const reading = async (member: SourceEntry) => ({ member, content: await read(member) })
    for await (const { member, content } of inOrder(members, files.together, reading)) {
      append(member, content)
      for (let frame = full.shift(); frame; frame = full.shift()) yield frame
    }
  }
  add(TAR_END)
  pack.size += TAR_END.length
  yield* full
  if (rest().length > 0) yield rest()
}

const EMPTY = Buffer.alloc(0)

/** Memory that is used again: new memory has to be had from the kernel page by page. */
const spareContents: ArrayBufferLike[] = []
const spareFrames: ArrayBufferLike[] = []

const take = (spare: ArrayBufferLike[], size: number): Buffer =>
  Buffer.from(spare.pop() ?? new ArrayBuffer(size))

const giveBack = (spare: ArrayBufferLike[], { buffer }: Buffer): void => void spare.push(buffer)

/** A tar that is cut into pieces of exactly FRAME bytes; the last may be shorter. Who is done with one gives it back. */
function cutter() {
  const full: Buffer[] = []
  let frame = take(spareFrames, FRAME)
  let filled = 0
  return {
    /** The pieces that are full; whoever takes one takes it out. */
    full,
    add: (part: Buffer): void => {
      for (let taken = 0; taken < part.length;) {
        const copied = part.copy(frame, filled, taken)
        taken += copied
        filled += copied
        if (filled < FRAME) continue
        full.push(frame)
        frame = take(spareFrames, FRAME)
        filled = 0
      }
    },
    /** What is left. */
    rest: (): Buffer => frame.subarray(0, filled),
  }
}

async function* compressed(
  frames: AsyncIterable<Buffer>,
  pack: { frames: number[] },
): AsyncGenerator<Buffer, void, void> {
  for await (const bytes of inOrder(frames, FRAMES_AHEAD, compress)) {
    pack.frames.push(bytes.length)
    yield bytes
  }
}

/** One independent frame, in the thread pool; it says how long its content is. */
async function compress(frame: Buffer): Promise<Buffer> {
  const bytes = await zstd.compress(frame, {
    params: { [constants.ZSTD_c_compressionLevel]: ZSTD_LEVEL },
    pledgedSrcSize: frame.length,
    // One piece of output: each further one would be a trip to the thread pool and back.
    chunkSize: FRAME + 4096,
  })
  giveBack(spareFrames, frame)
  // A copy, as the bytes are kept for a while and the piece of output is much larger.
  return Buffer.from(bytes)
}
