/**
 * The index of an artifact: every path with its type, mode and digest, and where its bytes are. It is the
 * manifest's config blob, so the manifest's digest covers it; with it, one file of a large artifact costs a
 * range of one or two frames. Recovery by hand does not need it.
 */
import { parseJson } from '../json.ts'
import * as z from '../zod.ts'
import { WorkspaceError } from '../errors.ts'
import { saveMemory } from '../platform/host.ts'
import { canonicalJson } from './canonical.ts'
import { FRAME, LARGE_FILE } from './format.ts'
import { checkLinks, checkPath, comparePaths, parentOf } from './safe-path.ts'

const MODE = /^0[0-7]{3}$/
const SHA256 = /^[0-9a-f]{64}$/

const count = z.int().check(z.nonnegative())
/** Permission bits as people write them: `0644`. */
const mode = z.string().check(z.regex(MODE))

export const FileEntry = z.object({
  type: z.literal('file'),
  path: z.string(),
  mode,
  size: count,
  /** Hexadecimal, of the file's bytes. */
  sha256: z.string().check(z.regex(SHA256)),
  /** The position of its blob among the manifest's layers. */
  layer: count,
  /** Where it begins in the pack's tar; 0 in a blob of its own. */
  offset: count,
})
export const FolderEntry = z.object({ type: z.literal('dir'), path: z.string(), mode })
export const LinkEntry = z.object({
  type: z.literal('symlink'),
  path: z.string(),
  target: z.string().check(z.minLength(1)),
})

const Pack = z.object({
  layer: count,
  /** Bytes of the tar. */
  size: count,
  /** The bytes of each compressed frame, in order; each but the last holds `frameSize` bytes of the tar. */
  frames: z.array(count.check(z.maximum(2 * FRAME))),
})

export const Entry = z.discriminatedUnion('type', [FileEntry, FolderEntry, LinkEntry])
/** Entries are read one by one: two copies of many would be too much at once. */
const Index = z.object({ frameSize: z.literal(FRAME), packs: z.array(Pack), entries: z.array(z.unknown()) })

export type FileEntry = z.infer<typeof FileEntry>
export type FolderEntry = z.infer<typeof FolderEntry>
export type LinkEntry = z.infer<typeof LinkEntry>
export type IndexEntry = FileEntry | FolderEntry | LinkEntry
export type Pack = z.infer<typeof Pack>
export interface ArtifactIndex {
  frameSize: typeof FRAME
  packs: Pack[]
  /** In the order of the paths' bytes; each folder before what it holds. */
  entries: IndexEntry[]
}

export const formatMode = (bits: number): string => `0${(bits & 0o777).toString(8).padStart(3, '0')}`
export const parseMode = (text: string): number => Number.parseInt(text, 8)

/** Entries made to text at a time: the whole text of many would be larger than all the rest in memory. */
const ENTRIES_AT_ONCE = 1000
/** Bytes of an index of so many entries that memory is worth a thought. */
const MUCH = 1024 * 1024

/** The canonical JSON of an index, in pieces. */
export function* encodeIndex(packs: Pack[], entries: readonly IndexEntry[]): Generator<Buffer, void, void> {
  yield Buffer.from('{"entries":[')
  for (let n = 0; n < entries.length; n += ENTRIES_AT_ONCE) {
    const some = JSON.stringify(entries.slice(n, n + ENTRIES_AT_ONCE).map(inOrderOfKeys)).slice(1, -1)
    yield Buffer.from(n === 0 ? some : `,${some}`)
  }
  yield Buffer.from(`],"frameSize":${FRAME},"packs":${canonicalJson(packs)}}`)
}

/** As `canonicalJson` sorts them: to sort the keys of each of many entries would take longer than all the rest. */
function inOrderOfKeys(entry: IndexEntry): IndexEntry {
  const { path, type } = entry
  if (type === 'symlink') return { path, target: entry.target, type }
  if (type === 'dir') return { mode: entry.mode, path, type }
  const { layer, mode, offset, sha256, size } = entry
  return { layer, mode, offset, path, sha256, size, type }
}

/**
 * Reads an index and checks all that can be checked without the content: an artifact may be made by hand.
 * @param layers the sizes of the manifest's layers
 * @throws WorkspaceError UNSAFE_PATH, DIGEST_MISMATCH
 */
export function decodeIndex(bytes: Buffer, layers: readonly { size: number }[]): ArtifactIndex {
  if (bytes.length > MUCH) saveMemory()
  const { entries, ...tables } = checked(Index, parseJson(bytes))
  for (const [n, entry] of entries.entries()) if (!isEntry(entry)) entries[n] = checked(Entry, entry)
  const index: ArtifactIndex = { ...tables, entries: entries as IndexEntry[] }
  checkTree(index.entries)
  for (const pack of index.packs) checkPack(pack, layers)
  const packs = new Map(index.packs.map((pack) => [pack.layer, pack]))
  for (const entry of index.entries)
    if (entry.type === 'file') checkPlace(entry, packs.get(entry.layer), layers)
  return index
}

/**
 * Nothing that `Entry` would refuse: by hand, because it takes a twentieth of the time, and one file of an artifact of
 * thousands has to wait for it.
 */
export function isEntry(value: unknown): value is IndexEntry {
  const { type, path, mode, size, sha256, layer, offset, target } = (value ?? {}) as Record<string, unknown>
  if (typeof path !== 'string') return false
  if (type === 'symlink') return typeof target === 'string' && target !== ''
  if (typeof mode !== 'string' || !MODE.test(mode)) return false
  if (type === 'dir') return true
  const places = isCount(size) && isCount(layer) && isCount(offset)
  return type === 'file' && places && typeof sha256 === 'string' && SHA256.test(sha256)
}

const isCount = (value: unknown): boolean => Number.isSafeInteger(value) && (value as number) >= 0

function checked<T>(schema: z.ZodMiniType<T>, value: unknown): T {
  const parsed = schema.safeParse(value)
  if (parsed.success) return parsed.data
  throw malformed(z.prettifyError(parsed.error))
}

/** Paths are safe, sorted and unique, and whatever holds something is a folder, never a symlink. */
function checkTree(entries: readonly IndexEntry[]): void {
  const folders = new Set([''])
  let last = ''
  for (const { path, type } of entries) {
    checkPath(path)
    if (comparePaths(last, path) >= 0) throw malformed(`${JSON.stringify(path)} is out of order`)
    if (!folders.has(parentOf(path))) throw malformed(`${JSON.stringify(path)} is not in a folder`)
    if (type === 'dir') folders.add(path)
    last = path
  }
  checkLinks(linksOf(entries))
}

/** The symlinks among entries: target by path. */
export function linksOf(entries: Iterable<IndexEntry>): Map<string, string> {
  const links = new Map<string, string>()
  for (const entry of entries) if (entry.type === 'symlink') links.set(entry.path, entry.target)
  return links
}

function checkPack(pack: Pack, layers: readonly { size: number }[]): void {
  const bytes = pack.frames.reduce((sum, size) => sum + size, 0)
  if (pack.frames.length !== Math.ceil(pack.size / FRAME) || bytes !== layers[pack.layer]?.size) {
    throw malformed(`the frames of layer ${pack.layer} do not add up`)
  }
}

function checkPlace(file: FileEntry, pack: Pack | undefined, layers: readonly { size: number }[]): void {
  const fits = pack
    ? file.size < LARGE_FILE && file.offset + file.size <= pack.size
    : file.offset === 0 && layers[file.layer]?.size === file.size
  if (!fits) throw malformed(`${JSON.stringify(file.path)} is not where the index says`)
}

function malformed(why: string): WorkspaceError {
  return new WorkspaceError('DIGEST_MISMATCH', `the artifact's index is not well-formed: ${why}`, {
    hint: 'somebody made this artifact by hand: do not trust it',
  })
}
