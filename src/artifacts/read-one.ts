/** Reads one file of an artifact, without writing it anywhere. */
import { startSha256 } from '../platform/hash.ts'
import { WorkspaceError } from '../errors.ts'
import type { FileEntry } from './artifact-index.ts'
import { gather, type Wanted } from './gather.ts'
import type { Retrieved } from './retrieve.ts'
import { ofType } from './select.ts'
import { readPacked } from './unpack.ts'
import { checkFile } from './write-files.ts'

/** A file up to this many bytes is verified before its first byte is given. */
const HELD = 64 * 1024 * 1024

/**
 * Gives the bytes of the one file that is wanted to `write`. Up to 64 MiB nothing is given that is not verified;
 * of a larger file the failure comes at its end.
 * @throws WorkspaceError TARGET_CONFLICT where more than one file matches, and as `retrieveArtifacts`
 */
export async function readOneFile(
  wanted: Wanted,
  write: (chunk: Uint8Array) => Promise<void>,
): Promise<Retrieved> {
  const { chosen, selected, blobs } = await gather(wanted)
  const artifacts = chosen.map(({ uri, digest, strategy }) => ({ uri, digest, strategy }))
  if (chosen.length === 0) return { artifacts, files: 0 }
  const [file, ...more] = ofType(selected, 'file')
  if (!file || more.length > 0)
    throw notOne(more.length === 0 ? [] : [file!, ...more].map((one) => one.entry.path))
  const { entry, artifact } = file
  const layer = artifact.manifest.layers[entry.layer]?.digest ?? ''
  const pack = artifact.index.packs.find((one) => one.layer === entry.layer)
  const content = pack ? contentOf(readPacked(blobs, layer, pack, [file])) : blobs.get(layer)
  await verified(entry, content, write)
  return { artifacts, files: 1 }
}

async function* contentOf(
  batches: AsyncIterable<{ content: Uint8Array }[]>,
): AsyncGenerator<Uint8Array, void, void> {
  for await (const batch of batches) for (const { content } of batch) yield content
}

async function verified(
  entry: FileEntry,
  content: AsyncIterable<Uint8Array>,
  write: (chunk: Uint8Array) => Promise<void>,
): Promise<void> {
  const hash = startSha256()
  const held: Uint8Array[] = []
  for await (const chunk of content) {
    hash.update(chunk)
    if (entry.size <= HELD) held.push(chunk)
    else await write(chunk)
  }
  checkFile(entry, hash.digest('hex'))
  for (const chunk of held) await write(chunk)
}

function notOne(paths: readonly string[]): WorkspaceError {
  const more = paths.length > 5 ? ` and ${paths.length - 5} more` : ''
  return new WorkspaceError('TARGET_CONFLICT', 'only one file can be printed', {
    expected: 'files that match exactly one file',
    found: paths.length === 0 ? 'none' : paths.slice(0, 5).join(', ') + more,
    hint: 'name it by the parameter files',
  })
}
