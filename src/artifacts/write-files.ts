/** Writes the files of artifacts, verifying every byte. */
import { sha256, startSha256 } from '../platform/hash.ts'
import { dirname } from 'node:path'
import { WorkspaceError } from '../errors.ts'
import { filesIn, type Files } from '../platform/files.ts'
import * as fs from '../platform/fs.ts'
import type { Soon } from '../platform/soon.ts'
import type { BlobStore, Digest } from '../stores/store.ts'
import { parseMode, type FileEntry, type Pack } from './artifact-index.ts'
import { forEachInOrder, inOrder } from './in-order.ts'
import type { Selected } from './select.ts'
import { readPacked } from './unpack.ts'

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
  const [first] = files
  if (!first) return
  const target = await filesIn(dirname(pathOf(first)))
  const layers = Map.groupBy(files, ({ artifact, entry }) => artifact.manifest.layers[entry.layer])
  const large: { file: File; layer: Digest }[] = []
  for (const [layer, members] of layers) {
    const digest = layer?.digest ?? ''
    const pack = packOf(members)
    if (pack) await writePacked(readPacked(store, digest, pack, members), target, pathOf, signal)
    else large.push(...members.map((file) => ({ file, layer: digest })))
  }
  const write = ({ file, layer }: { file: File; layer: Digest }) =>
    writeLarge(file.entry, pathOf(file), store.get(layer), signal)
  for await (const _ of inOrder(large, LARGE_AT_ONCE, write));
}

function packOf([member]: readonly File[]): Pack | undefined {
  return member?.artifact.index.packs.find((pack) => pack.layer === member.entry.layer)
}

async function writePacked(
  unpacked: AsyncIterable<{ file: File; content: Buffer }[]>,
  target: Files,
  pathOf: (file: File) => string,
  signal: AbortSignal,
): Promise<void> {
  const write = ({ file, content }: { file: File; content: Buffer }): Soon<void> => {
    signal.throwIfAborted()
    checkFile(file.entry, sha256(content))
    return target.write(pathOf(file), parseMode(file.entry.mode), content)
  }
  for await (const batch of unpacked) await forEachInOrder(batch, target.together, write, () => {})
}

async function writeLarge(
  entry: FileEntry,
  path: string,
  content: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
): Promise<void> {
  signal.throwIfAborted()
  const hashing = startSha256()
  const handle = await fs.create(path, parseMode(entry.mode))
  try {
    for await (const chunk of content) {
      signal.throwIfAborted()
      const writing = fs.write(handle, chunk, path)
      hashing.update(chunk)
      await writing
    }
  } finally {
    await handle.close()
  }
  checkFile(entry, hashing.digest('hex'))
}

/** @throws WorkspaceError DIGEST_MISMATCH where a file's sha256 is not what the index says */
export function checkFile(entry: FileEntry, found: string): void {
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
