/** A stream that is hashed as it goes by, and cut into parts. */
import { createHash } from 'node:crypto'
import type { Digest } from '../store.ts'

export interface Hashed {
  chunks: AsyncGenerator<Uint8Array, void, void>
  /** What the stream was, once it has ended. */
  made(): { digest: Digest; size: number }
}

export function hashed(content: AsyncIterable<Uint8Array>): Hashed {
  const hash = createHash('sha256')
  let size = 0
  async function* chunks(): AsyncGenerator<Uint8Array, void, void> {
    for await (const chunk of content) {
      hash.update(chunk)
      size += chunk.length
      yield chunk
    }
  }
  return { chunks: chunks(), made: () => ({ digest: `sha256:${hash.digest('hex')}`, size }) }
}

/** Parts of `partSize` bytes, but for the last; an empty stream has none. */
export async function* cut(
  stream: AsyncIterable<Uint8Array>,
  partSize: number,
): AsyncGenerator<Buffer, void, void> {
  let chunks: Uint8Array[] = []
  let gathered = 0
  for await (let chunk of stream) {
    while (gathered + chunk.length >= partSize) {
      chunks.push(chunk.subarray(0, partSize - gathered))
      chunk = chunk.subarray(partSize - gathered)
      yield Buffer.concat(chunks)
      chunks = []
      gathered = 0
    }
    if (chunk.length > 0) chunks.push(chunk)
    gathered += chunk.length
  }
  if (gathered > 0) yield Buffer.concat(chunks)
}

/** The first `count` parts; fewer where the stream ends before, and then it has ended. */
export async function take(stream: AsyncIterator<Buffer, void>, count: number): Promise<Buffer[]> {
  const taken: Buffer[] = []
  while (taken.length < count) {
    const next = await stream.next()
    if (next.done) break
    taken.push(next.value)
  }
  return taken
}

/** What was taken, and then the rest. */
export async function* chain(taken: Buffer[], rest: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  for (let part = taken.shift(); part; part = taken.shift()) yield part
  yield* rest
}
