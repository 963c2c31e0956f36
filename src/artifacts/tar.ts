/** One entry of a tar, as bytes that depend on the entry alone: no times, no owners. */
import { pack, type Header } from 'tar-stream'
import { LARGE_FILE } from './format.ts'
import type { SourceEntry } from './walk.ts'

/** Two empty blocks end a tar. */
export const TAR_END = Buffer.alloc(1024)
const BLOCK = 512
const EPOCH = new Date(0)
/** S_IFREG: tar-stream drops it from the header, but takes a mode of 0 for none given. */
const REGULAR = 0o100000

/** Bytes that `size` bytes of content take in a tar. */
export const padded = (size: number): number => Math.ceil(size / BLOCK) * BLOCK

/** Header, content and padding; long or non-ASCII names by a pax header. */
export async function tarEntry(entry: SourceEntry, content: Buffer): Promise<Buffer> {
  const tar = pack({ highWaterMark: 2 * LARGE_FILE })
  tar.entry(headersOf(entry), content)
  tar.finalize()
  const chunks: Buffer[] = []
  for await (const chunk of tar as AsyncIterable<Buffer>) chunks.push(chunk)
  const bytes = Buffer.concat(chunks)
  return bytes.subarray(0, bytes.length - TAR_END.length)
}

type HeaderFields = Pick<Header, 'name' | 'uid' | 'gid' | 'mtime' | 'type' | 'mode'> & Partial<Header>

function headersOf(entry: SourceEntry): HeaderFields {
  const common = { name: entry.path, uid: 0, gid: 0, mtime: EPOCH }
  switch (entry.type) {
    case 'file':
      return { ...common, type: 'file', mode: REGULAR | entry.mode, size: entry.size }
    case 'dir':
      return { ...common, type: 'directory', mode: entry.mode }
    case 'symlink':
      return { ...common, type: 'symlink', mode: 0o777, linkname: entry.target }
  }
}
