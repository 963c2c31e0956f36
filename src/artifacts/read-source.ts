/** Reads the files to be stored, and notices when somebody writes to one meanwhile. */
import type { Files } from '../platform/files.ts'
import type { Stats } from '../platform/fs.ts'
import { openNoFollow, readChunks } from '../platform/read.ts'
import { run, type Soon, type Steps } from '../platform/soon.ts'
import { sourceChanged, unchanged, type SourceFile } from './walk.ts'

/** The bytes of a small file, in `buffer`, which has to be large enough. @throws WorkspaceError SOURCE_CHANGED */
export const readSmall = (files: Files, file: SourceFile, buffer: Buffer): Soon<Buffer> =>
  run(readInto(files, file, buffer.subarray(0, file.size)))

function* readInto(files: Files, file: SourceFile, bytes: Buffer): Steps<Buffer> {
  const { before, length, after } = yield* unchanged(file.from, () => files.read(file.from, bytes))
  look(before, file)
  if (length !== file.size) throw sourceChanged(file.from, `${length} bytes instead of ${file.size}`)
  compare(before, after, file)
  return bytes
}

/** The bytes of a file of any size, in chunks; fails at the end where the file has changed. */
export async function* readLarge(file: SourceFile, signal: AbortSignal): AsyncGenerator<Buffer, void, void> {
  const handle = await run(unchanged(file.from, () => openNoFollow(file.from)))
  try {
    const before = look(await handle.stat(), file)
    for await (const chunk of readChunks(handle, file.from, 0, file.size)) {
      signal.throwIfAborted()
      yield chunk
    }
    compare(before, await handle.stat(), file)
  } finally {
    await handle.close()
  }
}

/** Taken after opening: over NFS only that is fresh, and so are the times that the file has from here on. */
function look(stats: Stats, file: SourceFile): Stats {
  if (stats.ino !== file.ino) throw sourceChanged(file.from, 'another file under this name')
  if (stats.size !== file.size) throw sourceChanged(file.from, `${stats.size} bytes instead of ${file.size}`)
  file.mtimeMs = stats.mtimeMs
  file.ctimeMs = stats.ctimeMs
  return stats
}

function compare(before: Stats, after: Stats, file: SourceFile): void {
  if (after.size !== before.size)
    throw sourceChanged(file.from, `${after.size} bytes instead of ${before.size}`)
  if (after.mtimeMs !== before.mtimeMs || after.ctimeMs !== before.ctimeMs) {
    throw sourceChanged(file.from, 'a later time of change')
  }
}
