/** Blobs on the shared volume: `store/blobs/sha256/<hex>`, each a read-only file that is never written again. */
import { createHash } from 'node:crypto'
import { dirname } from 'node:path'
import { errno, ignoreMissing, WorkspaceError } from '../errors.ts'
import * as fs from '../platform/fs.ts'
import { readChunks } from '../platform/read.ts'
import type { Layout } from '../volume/layout.ts'
import { publishTemporary, temporaryBeside } from '../volume/publish.ts'
import { checkDigest, missingBlob } from './digest.ts'
import type { BlobStore, Digest, PutBlob } from './store.ts'

const BLOB_MODE = 0o444

export function volumeStore(layout: Layout): BlobStore {
  const pathOf = (digest: Digest): string => layout.blob(checkDigest(digest))
  return {
    place: layout.blobs,
    size: (digest) => sizeOf(pathOf(digest)),
    put: (content) => put(pathOf, temporaryBeside(layout.blob('new')), content),
    async *get(digest, range) {
      const path = pathOf(digest)
      const handle = await openFresh(path).catch((error: unknown) => {
        throw errno(error) === 'ENOENT' ? missingBlob(digest, layout.blobs, error) : error
      })
      try {
        const [start, length] = range ? [range.offset, range.length] : [0, Number.MAX_SAFE_INTEGER]
        yield* readChunks(handle, path, start, start + length)
      } finally {
        await handle.close()
      }
    },
  }
}

async function put(
  pathOf: (digest: Digest) => string,
  temporary: string,
  content: AsyncIterable<Uint8Array>,
): Promise<PutBlob> {
  await fs.mkdirp(dirname(temporary))
  try {
    const handle = await fs.create(temporary, BLOB_MODE)
    let written: { digest: Digest; size: number }
    try {
      written = await writeHashing(handle, temporary, content)
      // A quick look saves the flush; where it misses what is there, link(2) does not.
      const there = await sizeOf(pathOf(written.digest), fs.open)
      if (there !== undefined) return reuse(written, there, pathOf(written.digest))
      await fs.sync(handle, temporary)
    } finally {
      await handle.close()
    }
    const path = pathOf(written.digest)
    if (await publishTemporary(temporary, path)) return { ...written, isNew: true }
    return reuse(written, await sizeOf(path), path)
  } finally {
    await fs.unlink(temporary).catch(ignoreMissing)
  }
}

async function writeHashing(
  handle: fs.FileHandle,
  path: string,
  content: AsyncIterable<Uint8Array>,
): Promise<{ digest: Digest; size: number }> {
  const hash = createHash('sha256')
  let size = 0
  for await (const chunk of content) {
    hash.update(chunk)
    size += chunk.length
    await fs.write(handle, chunk, path)
  }
  return { digest: `sha256:${hash.digest('hex')}`, size }
}

function reuse(blob: { digest: Digest; size: number }, found: number | undefined, path: string): PutBlob {
  if (found === blob.size) return { ...blob, isNew: false }
  throw new WorkspaceError('DIGEST_MISMATCH', `the blob ${path} is damaged`, {
    expected: `${blob.size} bytes`,
    found: found === undefined ? 'a name that cannot be opened' : `${found} bytes`,
    hint: 'move this file away and run the task again: it then writes the blob anew',
  })
}

/** By opening it: over NFS a stat may tell of a blob that is gone. */
async function sizeOf(path: string, open: typeof fs.open = openFresh): Promise<number | undefined> {
  let handle: fs.FileHandle
  try {
    handle = await open(path, 'r')
  } catch (error) {
    ignoreMissing(error)
    return undefined
  }
  try {
    return (await handle.stat()).size
  } finally {
    await handle.close()
  }
}

/**
 * Opens a blob. Over NFS a name that this client missed once stays missing for up to half a minute, unless the
 * folder is listed: so ENOENT is believed only after that.
 */
async function openFresh(path: string): Promise<fs.FileHandle> {
  try {
    return await fs.open(path, 'r')
  } catch (error) {
    ignoreMissing(error)
    await fs.list(dirname(path))
    return fs.open(path, 'r')
  }
}
