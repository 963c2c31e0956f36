import { Readable } from 'node:stream'
import { fromRandomAccessReaderPromise, RandomAccessReader, type Entry, type ZipFile } from 'yauzl'
import type { ReadRange } from './decompress.ts'
import { unsafe, type ContentWriter } from './write-content.ts'

/** Where Unix keeps a file's type and permissions in a zip, and the types. */
const [UNIX_SHIFT, TYPE, LINK, FOLDER, FILE] = [16, 0o170000, 0o120000, 0o040000, 0o100000]
const MAX_TARGET_BYTES = 4096

/** Writes what a zip of `size` bytes holds. @throws WorkspaceError ARCHIVE_UNSAFE */
export async function unpackZip(read: ReadRange, size: number, content: ContentWriter): Promise<void> {
  // Its own check of names would refuse less, and change back slashes.
  const options = { lazyEntries: true, autoClose: false, strictFileNames: true }
  const zip = await fromRandomAccessReaderPromise(new Ranges(read), size, options)
  try {
    for await (const entry of zip.eachEntry()) await write(zip, entry, content)
  } finally {
    zip.close()
  }
}

class Ranges extends RandomAccessReader {
  readonly #read: ReadRange

  constructor(read: ReadRange) {
    super()
    this.#read = read
  }

  override _readStreamForRange(start: number, end: number): Readable {
    return Readable.from(this.#read(start, end))
  }
}

async function write(zip: ZipFile, entry: Entry, content: ContentWriter): Promise<void> {
  const { fileName: name } = entry
  const mode = entry.externalFileAttributes >>> UNIX_SHIFT
  const type = mode & TYPE
  if (name.endsWith('/') || type === FOLDER) return content.folder(name)
  // A zip made elsewhere says nothing of types.
  if (type !== 0 && type !== FILE && type !== LINK)
    throw unsafe(
      `${JSON.stringify(name)} is neither file, folder nor link`,
      'only those',
      `type 0${type.toString(8)}`,
    )
  const bytes = await zip.openReadStreamPromise(entry)
  if (type === LINK) return content.symlink(name, await textOf(bytes, name))
  await content.file(name, mode & 0o7777, bytes)
}

async function textOf(bytes: AsyncIterable<Buffer>, name: string): Promise<string> {
  let text = Buffer.alloc(0)
  for await (const chunk of bytes) {
    text = Buffer.concat([text, chunk])
    if (text.length > MAX_TARGET_BYTES)
      throw unsafe(
        `the link ${JSON.stringify(name)} is too long`,
        `at most ${MAX_TARGET_BYTES} bytes`,
        'more',
      )
  }
  return text.toString()
}
