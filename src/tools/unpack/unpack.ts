import { join } from 'node:path'
import { WorkspaceError, errno } from '../../errors.ts'
import * as fs from '../../platform/fs.ts'
import { openNoFollow, readChunks } from '../../platform/read.ts'
import { kindOf, type Archive } from './archive.ts'
import { decompress, type ReadRange } from './decompress.ts'
import { contentWriter, unsafe } from './write-content.ts'

export interface UnpackOptions {
  archive: Archive
  /** What it was downloaded from: its name tells the kind of archive where that is `auto`. */
  url: URL
  /** The name that the content gets where it is no archive. */
  name: string
  strip: number
  maxBytes: number
  signal: AbortSignal
}

/**
 * Writes the content of a downloaded file to `folder`, which is empty.
 * @throws WorkspaceError ARCHIVE_UNSAFE; then some of it may have been written: only ever stage with this
 */
export async function unpack(path: string, folder: string, options: UnpackOptions): Promise<void> {
  const kind = kindOf(options.archive, options.url)
  // Another name of the same file: nothing is copied.
  if (kind === 'plain') return asProgram(path, join(folder, options.name))
  const handle = await openNoFollow(path)
  try {
    const { size } = await handle.stat()
    const read: ReadRange = (start, end) => readChunks(handle, path, start, end)
    const { strip, maxBytes, signal } = options
    const content = contentWriter({ folder, strip, maxBytes, archiveBytes: size, signal })
    if (kind === 'zip') {
      const { unpackZip } = await import('./zip.ts')
      await unpackZip(read, size, content)
    } else {
      const { unpackTar } = await import('./tar.ts')
      await unpackTar(decompress(read, size, kind), content)
    }
    await content.finish()
  } catch (error) {
    options.signal.throwIfAborted()
    // Two names that this file system takes for one; publishFolder would take it for an answer.
    const isTaken = ['EEXIST', 'ENOTDIR', 'ENOTEMPTY'].includes(errno(error) ?? '')
    if (error instanceof WorkspaceError || (errno(error) && !isTaken)) throw error
    throw unsafe('it cannot be read', `a whole ${kind === 'zip' ? 'zip' : 'tar'}`, String(error), error)
  } finally {
    await handle.close()
  }
}

async function asProgram(path: string, to: string): Promise<void> {
  await fs.chmod(path, 0o555).catch(fs.ignoreDenied)
  await fs.link(path, to)
  const handle = await openNoFollow(to)
  try {
    await fs.sync(handle, to)
  } finally {
    await handle.close()
  }
}
