/** Reads the files to be stored, and notices when somebody writes to one meanwhile. */
import type { FileHandle, Stats } from '../platform/fs.ts'
import { openNoFollow, readAt, readChunks } from '../platform/read.ts'
import { sourceChanged, unchanged, type SourceFile } from './walk.ts'

/** The bytes of a small file. @throws WorkspaceError SOURCE_CHANGED */
export function readSmall(file: SourceFile): Promise<Buffer> {
  return withSource(file, async (handle) => {
    const bytes = await readAt(handle, file.from, 0, file.size)
    if (bytes.length !== file.size)
      throw sourceChanged(file.from, `${bytes.length} bytes instead of ${file.size}`)
    return bytes
  })
}

/** The bytes of a file of any size, in chunks; fails at the end where the file has changed. */
export async function* readLarge(file: SourceFile, signal: AbortSignal): AsyncGenerator<Buffer, void, void> {
  const handle = await unchanged(file.from, () => openNoFollow(file.from))
  try {
    const before = await look(handle, file)
    for await (const chunk of readChunks(handle, file.from, 0, file.size)) {
      signal.throwIfAborted()
      yield chunk
    }
    await compare(handle, file, before)
  } finally {
    await handle.close()
  }
}

async function withSource<T>(file: SourceFile, read: (handle: FileHandle) => Promise<T>): Promise<T> {
  const handle = await unchanged(file.from, () => openNoFollow(file.from))
  try {
    const before = await look(handle, file)
    const result = await read(handle)
    await compare(handle, file, before)
    return result
  } finally {
    await handle.close()
  }
}

/** Taken after opening: over NFS only that is fresh. */
async function look(handle: FileHandle, file: SourceFile): Promise<Stats> {
  const stats = await handle.stat()
  if (stats.ino !== file.ino) throw sourceChanged(file.from, 'another file under this name')
  if (stats.size !== file.size) throw sourceChanged(file.from, `${stats.size} bytes instead of ${file.size}`)
  return stats
}

async function compare(handle: FileHandle, file: SourceFile, before: Stats): Promise<void> {
  const after = await handle.stat()
  if (after.size !== before.size)
    throw sourceChanged(file.from, `${after.size} bytes instead of ${before.size}`)
  if (after.mtimeMs !== before.mtimeMs || after.ctimeMs !== before.ctimeMs) {
    throw sourceChanged(file.from, 'a later time of change')
  }
}
