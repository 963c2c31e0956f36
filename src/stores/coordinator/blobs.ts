/** Blobs of a coordinator: looked up, and read with as many connections as it takes. */
import type { HttpAnswer } from '../../platform/http-client.ts'
import { checkDigest, missingBlob } from '../digest.ts'
import type { BlobStore, Digest, Range } from '../store.ts'
import { reasonOf, type Connection } from './connection.ts'
import { Passing } from '../patience.ts'
import { blobPath } from './protocol.ts'
import { sizeOf } from './size-of.ts'
import { upload } from './upload.ts'

export function coordinatorBlobs(connection: Connection): BlobStore {
  const { place } = connection
  return {
    place,
    size: (digest) => sizeOf(connection, digest),
    put: (content) => upload(connection, content),
    get: (digest, range) => download(connection, checkDigest(digest), range),
  }
}

/** Where a connection ends early, another goes on from there: a blob never changes. */
async function* download(connection: Connection, digest: Digest, range?: Range): AsyncGenerator<Buffer> {
  const patience = connection.patience()
  let at = range?.offset ?? 0
  let end = range ? at + range.length : Number.POSITIVE_INFINITY
  const isEmpty = range?.length === 0
  if (isEmpty && (await sizeOf(connection, digest)) === undefined) throw missingBlob(digest, connection.place)
  while (at < end) {
    try {
      const answer = await openAt(connection, digest, at, end)
      if (!answer) return
      end = at + Number(answer.headers['content-length'])
      for await (const chunk of bytesOf(answer)) {
        patience.progressed()
        at += chunk.length
        yield chunk
      }
      if (at < end) throw new Passing(`the answer ended ${end - at} bytes early`)
    } catch (error) {
      await patience.after(error)
    }
  }
}

/** @returns undefined where nothing of the blob is that far back */
async function openAt(
  connection: Connection,
  digest: Digest,
  at: number,
  end: number,
): Promise<HttpAnswer | undefined> {
  const wantsAll = at === 0 && end === Number.POSITIVE_INFINITY
  const range = `bytes=${at}-${Number.isFinite(end) ? end - 1 : ''}`
  const answer = await connection.open(
    { method: 'GET', path: blobPath(digest), headers: wantsAll ? {} : { range } },
    [wantsAll ? 200 : 206, 404, 416],
  )
  if (answer.status === 200 || answer.status === 206) return answer
  answer.body.destroy()
  if (answer.status === 404) throw missingBlob(digest, connection.place)
  return undefined
}

async function* bytesOf({ body }: HttpAnswer): AsyncGenerator<Buffer> {
  try {
    yield* body as AsyncIterable<Buffer>
  } catch (cause) {
    throw new Passing(reasonOf(cause), { cause })
  } finally {
    body.destroy()
  }
}
