import { Readable } from 'node:stream'
import { extract, type Header } from 'tar-stream'
import { unsafe, type ContentWriter } from './write-content.ts'

/** Writes what a tar holds. @throws WorkspaceError ARCHIVE_UNSAFE */
export async function unpackTar(bytes: AsyncIterable<Uint8Array>, content: ContentWriter): Promise<void> {
  const source = Readable.from(bytes)
  const entries = extract()
  source.on('error', (error) => entries.destroy(error))
  source.pipe(entries)
  try {
    for await (const entry of entries) {
      await write(entry.header, entry as AsyncIterable<Uint8Array>, content)
      entry.resume()
    }
  } finally {
    source.destroy()
    entries.destroy()
  }
}

async function write(
  header: Header,
  bytes: AsyncIterable<Uint8Array>,
  content: ContentWriter,
): Promise<void> {
  const { name, type, mode, linkname } = header
  switch (type) {
    case 'file':
    case 'contiguous-file':
      // A name that ends so is a folder to old programs.
      if (!name.endsWith('/')) return content.file(name, mode, bytes)
      await content.folder(name)
      break
    case 'directory':
      await content.folder(name)
      break
    case 'symlink':
      content.symlink(name, linkname ?? '')
      break
    case 'link':
      content.hardLink(name, linkname ?? '')
      break
    case 'character-device':
    case 'block-device':
    case 'fifo':
    default:
      throw unsafe(`${JSON.stringify(name)} is no file`, 'files, folders and links', `a ${type}`)
  }
}
