/** Archives as people make them, and as they should not. */
import { crc32 } from 'node:zlib'
import { pack, type Header } from 'tar-stream'

export type TarEntry = Partial<Header> & { name: string; content?: Buffer | string }

export async function tar(entries: readonly TarEntry[]): Promise<Buffer> {
  const packing = pack()
  for (const { content = '', ...header } of entries) {
    if (header.type && header.type !== 'file') packing.entry(header)
    else packing.entry(header, Buffer.from(content))
  }
  packing.finalize()
  const chunks: Buffer[] = []
  for await (const chunk of packing) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks)
}

export interface ZipEntry {
  name: string
  content?: Buffer | string
  /** With the type's bits. */
  mode?: number
  /** What it says its size is. */
  claimed?: number
}

/** Stored, not compressed; names as they are given. */
export function zip(entries: readonly ZipEntry[]): Buffer {
  const locals: Buffer[] = []
  const centrals: Buffer[] = []
  let offset = 0
  for (const { name, content = '', mode = 0o100644, claimed } of entries) {
    const [path, body] = [Buffer.from(name), Buffer.from(content)]
    const size = claimed ?? body.length
    const common = Buffer.alloc(26)
    common.writeUInt16LE(20, 0)
    common.writeUInt16LE(0x800, 2)
    common.writeUInt32LE(crc32(body), 10)
    common.writeUInt32LE(body.length, 14)
    common.writeUInt32LE(size, 18)
    common.writeUInt16LE(path.length, 22)
    const local = Buffer.concat([Buffer.from('PK\x03\x04'), common, path, body])
    const rest = Buffer.alloc(14)
    rest.writeUInt32LE((mode << 16) >>> 0, 6)
    rest.writeUInt32LE(offset, 10)
    centrals.push(Buffer.concat([Buffer.from('PK\x01\x02'), Buffer.from([20, 3]), common, rest, path]))
    locals.push(local)
    offset += local.length
  }
  const central = Buffer.concat(centrals)
  const end = Buffer.alloc(22)
  end.write('PK\x05\x06', 'latin1')
  end.writeUInt16LE(entries.length, 8)
  end.writeUInt16LE(entries.length, 10)
  end.writeUInt32LE(central.length, 12)
  end.writeUInt32LE(offset, 16)
  return Buffer.concat([...locals, central, end])
}
