/**
 * Files that have not changed since they were stored are not read again: what they were stored as is noted in the
 * store, under a name made of all that the file system says of them. It is the kernel's or the server's time of change
 * (ctime) that decides, which no program can set; and as that may stand still for a while where files are written
 * through a mapping, or only counts ticks, nothing is noted of files that changed a moment ago.
 */
import * as z from '../zod.ts'
import type { Files } from '../platform/files.ts'
import { sha256, sha256OfLines } from '../platform/hash.ts'
import type { BlobStore, PutBlob } from '../stores/store.ts'
import { inOrder } from './in-order.ts'
import { unchanged, type SourceEntry, type SourceFile } from './walk.ts'
import { run } from '../platform/soon.ts'

/** Linux writes back what a mapping has changed after 35 s at most; from then on the next change gets a new time. */
const AT_REST_MS = 60_000

const Known = z.object({
  blob: z.object({ digest: z.string(), size: z.number() }),
  /** Bytes of a pack's tar, and of each of its compressed frames; none for a file that is a blob of its own. */
  size: z.number(),
  frames: z.array(z.number()),
  /** Of each file, in the order of the members. */
  sha256: z.array(z.string()),
  offsets: z.array(z.number()),
})

/** What members were stored as. */
export type Known = z.infer<typeof Known>
/** The same, with its blob as a store gives it. */
export type Recalled = Known & { blob: PutBlob }

/** What is known of members whose files are as they were; undefined where they have to be read. */
export async function recall(
  store: BlobStore,
  files: Files,
  members: readonly SourceEntry[],
): Promise<Recalled | undefined> {
  if (!store.notes || !files.tellsChanges) return undefined
  const known = parse(await store.notes.read(nameOf(members)))
  if (!known || known.sha256.length !== filesOf(members).length) return undefined
  if (!(await areAsListed(files, filesOf(members)))) return undefined
  if ((await store.size(known.blob.digest)) !== known.blob.size) return undefined
  return { ...known, blob: { ...known.blob, isNew: false } }
}

/**
 * Notes what members were stored as, if all of them were at rest for a while.
 * @param began when their reading began, on the wall clock
 */
export async function remember(
  store: BlobStore,
  files: Files,
  members: readonly SourceEntry[],
  began: number,
  known: Known,
): Promise<void> {
  const atRest = ({ ctimeMs }: SourceFile): boolean => ctimeMs > 0 && began - ctimeMs > AT_REST_MS
  if (!store.notes || !files.tellsChanges || !filesOf(members).every(atRest)) return
  const text = JSON.stringify(known)
  await store.notes.write(nameOf(members), `${sha256(text)}\n${text}`)
}

export const filesOf = (members: readonly SourceEntry[]): SourceFile[] =>
  members.filter((member) => member.type === 'file')

const nameOf = (members: readonly SourceEntry[]): string => sha256OfLines(namedBy(members))

function* namedBy(members: readonly SourceEntry[]): Generator<string, void, void> {
  yield 'v1'
  for (const member of members) yield JSON.stringify(identityOf(member))
}

function identityOf(member: SourceEntry): unknown[] {
  const { path } = member
  if (member.type === 'symlink') return [path, member.target]
  if (member.type === 'dir') return [path, member.mode]
  const { mode, size, ino, mtimeMs, ctimeMs } = member
  return [path, mode, size, ino, mtimeMs, ctimeMs]
}

function parse(note: Buffer | undefined): Known | undefined {
  const [digest, text = ''] = note?.toString().split('\n') ?? []
  if (sha256(text) !== digest) return undefined
  return Known.safeParse(JSON.parse(text)).data
}

/** Where what was listed may be old, it is looked at once more. */
async function areAsListed(files: Files, listed: readonly SourceFile[]): Promise<boolean> {
  if (files.together === 1) return true
  let same = true
  const look = (file: SourceFile) => run(unchanged(file.from, () => files.look(file.from)))
  const compare = async (file: SourceFile): Promise<void> => {
    const { ino, size, mtimeMs, ctimeMs } = await look(file)
    same &&= ino === file.ino && size === file.size && mtimeMs === file.mtimeMs && ctimeMs === file.ctimeMs
  }
  for await (const _ of inOrder(listed, files.together, compare)) if (!same) break
  return same
}
