/** Writes the files of artifacts, verifying every byte. */
import { createHash } from 'node:crypto'
import { WorkspaceError } from '../errors.ts'
import * as fs from '../platform/fs.ts'
import type { BlobStore, Digest } from '../stores/store.ts'
import { parseMode, type FileEntry, type Pack } from './artifact-index.ts'
import { inOrder } from './in-order.ts'
import type { Selected } from './select.ts'
import { readPacked } from './unpack.ts'

const FILES_AT_ONCE = 16
const LARGE_AT_ONCE = 2

type File = Selected<FileEntry>

/**
 * Writes files to where `pathOf` says; their folders are there.
 * @throws WorkspaceError DIGEST_MISMATCH; then some files may have been written: only ever stage with this
 */
export async function writeFiles(
  store: BlobStore,
  files: readonly File[],
  pathOf: (file: File) => string,
  signal: AbortSignal,
): Promise<void> {
  const layers = Map.groupBy(files, ({ artifact, entry }) => artifact.manifest.layers[entry.layer])
  const large: { file: File; layer: Digest }[] = []
  for (const [layer, members] of layers) {
    const digest = layer?.digest ?? ''
    const pack = packOf(members)
    if (pack) await writePacked(store, digest, pack, members, pathOf, signal)
    else large.push(...members.map((file) => ({ file, layer: digest })))
  }
  const write = ({ file, layer }: { file: File; layer: Digest }) =>
    writeVerified(file.entry, pathOf(file), store.get(layer), signal)
  for await (const _ of inOrder(large, LARGE_AT_ONCE, write));
}

function packOf([member]: readonly File[]): Pack | undefined {
  return member?.artifact.index.packs.find((pack) => pack.layer === member.entry.layer)
}

async function writePacked(
  store: BlobStore,
  layer: Digest,
  pack: Pack,
  files: readonly File[],
  pathOf: (file: File) => string,
  signal: AbortSignal,
): Promise<void> {
  const write = ({ file, content }: { file: File; content: Buffer }) =>
    writeVerified(file.entry, pathOf(file), once(content), signal)
  for await (const _ of inOrder(readPacked(store, layer, pack, files), FILES_AT_ONCE, write));
}

async function* once(data: Buffer): AsyncGenerator<Buffer, void, void> {
  if (data.length > 0) yield data
}

async function writeVerified(
  entry: FileEntry,
  path: string,
  content: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
): Promise<void> {
  signal.throwIfAborted()
  const hash = createHash('sha256')
  const handle = await fs.create(path, parseMode(entry.mode))
  try {
    for await (const chunk of content) {
      signal.throwIfAborted()
      const writing = fs.write(handle, chunk, path)
      hash.update(chunk)
      await writing
    }
  } finally {
    await handle.close()
  }
  const found = hash.digest('hex')
  if (found === entry.sha256) return
  throw new WorkspaceError(
    'DIGEST_MISMATCH',
    `${JSON.stringify(entry.path)} is not what the artifact's index says`,
    {
      expected: `sha256:${entry.sha256}`,
      found: `sha256:${found}`,
      hint: 'the storage damaged the artifact or somebody changed it: run the task that made it again',
    },
  )
}
