/** Puts a tree into a store: packs, large files, index and manifest. Nothing refers to them yet. */
import type { BlobStore, Digest, PutBlob } from '../stores/store.ts'
import { WorkspaceError } from '../errors.ts'
import { wallNow } from '../platform/clock.ts'
import type { Files } from '../platform/files.ts'
import { encodeIndex, formatMode, type IndexEntry } from './artifact-index.ts'
import { digestOfEntries } from './digest.ts'
import { CONTENT_ANNOTATIONS, MEDIA_TYPES, packTitle } from './format.ts'
import { inOrder } from './in-order.ts'
import { recall, remember } from './known.ts'
import { encodeManifest, type Content, type Descriptor } from './manifest.ts'
import { plan, storePack, type Place, type StoredPack } from './pack.ts'
import { readLarge } from './read-source.ts'
import { walk, type SourceEntry, type SourceFile } from './walk.ts'

/** Blobs written at once: while one is flushed, the other keeps reading and compressing. */
const BLOBS_AT_ONCE = 2

export interface StoredContent {
  manifest: { digest: Digest; size: number }
  content: Content
  /** Everything that it consists of. */
  blobs: readonly PutBlob[]
  /** Bytes that the store did not have. */
  newBytes: number
}

interface StoredFile {
  blob: PutBlob
  file: SourceFile
}

const hexOf = (digest: Digest): string => digest.slice('sha256:'.length)

/** @throws WorkspaceError as `walk`, and SOURCE_CHANGED */
export async function storeContent(
  store: BlobStore,
  source: string,
  signal: AbortSignal,
): Promise<StoredContent> {
  const { entries, files } = await walk(source)
  const { packs, large } = plan(entries)
  const places = new Map<SourceFile, Place>()
  const packed = await allOf([...packs.entries()], signal, ([layer, members], stop) =>
    storePack(store, files, members, layer, places, stop),
  )
  const alone = await allOf(large, signal, (file, stop) => storeLarge(store, files, file, stop))
  for (const [n, { file, blob }] of alone.entries()) {
    places.set(file, { sha256: hexOf(blob.digest), layer: packed.length + n, offset: 0 })
  }
  const indexed = indexEntries(entries, places)
  const content = summarise(indexed)
  const tables = packed.map(({ size, frames }, layer) => ({ layer, size, frames }))
  const index = await store.put(inPieces(encodeIndex(tables, indexed)))
  const layers = [...packed.map(describePack), ...alone.map(describeFile)]
  const manifest = await store.put(inPieces([encodeManifest(index, layers, content)]))
  const blobs = [...packed, ...alone].map(({ blob }) => blob).concat(index, manifest)
  const newBytes = blobs.reduce((sum, blob) => sum + (blob.isNew ? blob.size : 0), 0)
  return { manifest, content, blobs, newBytes }
}

/** Works on all items, a few at once; the first failure stops the others, and is thrown when they have ended. */
async function allOf<T, R>(
  items: readonly T[],
  signal: AbortSignal,
  work: (item: T, stop: AbortSignal) => Promise<R>,
): Promise<R[]> {
  const failed = new AbortController()
  const stop = AbortSignal.any([signal, failed.signal])
  const workOrStop = (item: T): Promise<R> =>
    work(item, stop).catch((error: unknown) => {
      failed.abort(error)
      throw error
    })
  const results: R[] = []
  for await (const result of inOrder(items, BLOBS_AT_ONCE, workOrStop)) results.push(result)
  return results
}

async function storeLarge(
  store: BlobStore,
  files: Files,
  file: SourceFile,
  stop: AbortSignal,
): Promise<StoredFile> {
  const known = await recall(store, files, [file])
  if (known) return { file, blob: known.blob }
  const began = wallNow()
  const content = () => readLarge(file, stop)
  const blob = await store.put(content(), content)
  const alone = { blob, size: 0, frames: [], sha256: [hexOf(blob.digest)], offsets: [0] }
  await remember(store, files, [file], began, alone)
  return { file, blob }
}

async function* inPieces(pieces: Iterable<Buffer>): AsyncGenerator<Buffer, void, void> {
  yield* pieces
}

function indexEntries(entries: readonly SourceEntry[], places: ReadonlyMap<SourceFile, Place>): IndexEntry[] {
  return entries.map((entry): IndexEntry => {
    if (entry.type === 'symlink') return entry
    const { path } = entry
    const mode = formatMode(entry.mode)
    if (entry.type === 'dir') return { type: 'dir', path, mode }
    const place = places.get(entry)
    if (!place) throw new WorkspaceError('INTERNAL', `${path} went into no layer`)
    return { type: 'file', path, mode, size: entry.size, ...place }
  })
}

function summarise(entries: IndexEntry[]): Content {
  const files = entries.filter((entry) => entry.type === 'file')
  const bytes = files.reduce((sum, file) => sum + file.size, 0)
  return { digest: digestOfEntries(entries), files: files.length, bytes }
}

function describePack({ blob }: StoredPack, n: number): Descriptor {
  return describe(MEDIA_TYPES.pack, blob, packTitle(n))
}

function describeFile({ blob, file }: StoredFile): Descriptor {
  return describe(MEDIA_TYPES.file, blob, file.path)
}

function describe(mediaType: string, { digest, size }: PutBlob, title: string): Descriptor {
  return { mediaType, digest, size, annotations: { [CONTENT_ANNOTATIONS.title]: title } }
}
