import { Readable } from 'node:stream'
import type { ReadableStream } from 'node:stream/web'
import { createGunzip, createZstdDecompress } from 'node:zlib'

/** Reads the bytes of a file from `start` up to `end`. */
export type ReadRange = (start: number, end: number) => AsyncIterable<Uint8Array>

export type Compression = 'gz' | 'zst' | 'xz' | 'none'

/** What a compressed file of `size` bytes holds. */
export function decompress(
  read: ReadRange,
  size: number,
  compression: Compression,
): AsyncIterable<Uint8Array> {
  switch (compression) {
    case 'none':
      return read(0, size)
    case 'gz':
      return through(read(0, size), createGunzip())
    case 'zst':
      return zstdFrames(read, size)
    case 'xz':
      return xz(read(0, size))
  }
}

type Transform = ReturnType<typeof createGunzip> | ReturnType<typeof createZstdDecompress>

async function* through(
  bytes: AsyncIterable<Uint8Array>,
  transform: Transform,
): AsyncGenerator<Uint8Array, void, void> {
  const source = Readable.from(bytes)
  source.on('error', (error) => transform.destroy(error))
  try {
    yield* source.pipe(transform) as AsyncIterable<Uint8Array>
  } finally {
    source.destroy()
  }
}

/** Node stops after a frame, and pzstd writes several, each after one to be skipped (RFC 8878, 3.1.2). */
async function* zstdFrames(read: ReadRange, size: number): AsyncGenerator<Uint8Array, void, void> {
  const [skippable, mask, header] = [0x184d2a50, 0xfffffff0, 8]
  for (let at = 0; at < size;) {
    const start = await bytesOf(read(at, Math.min(size, at + header)))
    const isSkipped = start.length === header && (start.readUInt32LE(0) & mask) >>> 0 === skippable
    if (isSkipped) at += header + start.readUInt32LE(4)
    else {
      const frame = createZstdDecompress()
      yield* through(read(at, size), frame)
      at += frame.bytesWritten
    }
  }
}

async function bytesOf(chunks: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const all: Uint8Array[] = []
  for await (const chunk of chunks) all.push(chunk)
  return Buffer.concat(all)
}

/** Loaded at the first use: it brings its WebAssembly along. */
async function* xz(bytes: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, void> {
  // As a CommonJS module it has its exports in the default one, in Node as in a bundle.
  const { XzReadableStream } = (await import('xz-decompress')).default
  const source = Readable.toWeb(Readable.from(bytes))
  yield* new XzReadableStream(source as never) as unknown as ReadableStream<Uint8Array>
}
