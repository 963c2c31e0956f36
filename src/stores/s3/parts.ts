/** A stream that is hashed as it goes by, and cut into parts. */
import { startSha256 } from '../../platform/hash.ts'
import type { Digest } from '../store.ts'

export interface Hashed {
  chunks: AsyncGenerator<Uint8Array, void, void>
  /** What the stream was, once it has ended. */
  made: () => { digest: Digest; size: number }
}

export function hashed(content: AsyncIterable<Uint8Array>): Hashed {
  const hash = startSha256()
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

/** Takes chunks until there are more than `most` bytes of them. @returns whether the stream ended before */
export async function take(
  chunks: AsyncIterator<Uint8Array, void>,
  held: Uint8Array[],
  most: number,
): Promise<boolean> {
  for (let size = 0; size <= most;) {
    const next = await chunks.next()
    if (next.done) return true
    held.push(next.value)
    size += next.value.length
  }
  return false
}

/** What was taken, and then the rest. */
export async function* chain(
  held: Uint8Array[],
  rest: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array, void, void> {
  for (let chunk = held.shift(); chunk; chunk = held.shift()) yield chunk
  yield* rest
}

/** Parts of `partSize` bytes, but for the last; an empty stream has none. */
export async function* cut(
  stream: AsyncIterable<Uint8Array>,
  partSize: number,
): AsyncGenerator<Buffer, void, void> {
  let part = Buffer.allocUnsafe(partSize)
  let filled = 0
  for await (let chunk of stream) {
    while (chunk.length > 0) {
      const fitting = chunk.subarray(0, partSize - filled)
      part.set(fitting, filled)
      filled += fitting.length
      chunk = chunk.subarray(fitting.length)
      if (filled < partSize) continue
      yield part
      part = Buffer.allocUnsafe(partSize)
      filled = 0
    }
  }
  if (filled > 0) yield part.subarray(0, filled)
}
