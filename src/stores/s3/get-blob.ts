/** Content on its way out of the bucket. */
import { GetObjectCommand, type GetObjectCommandOutput } from '@aws-sdk/client-s3'
import { WorkspaceError } from '../../errors.ts'
import { missingBlob } from '../digest.ts'
import { Passing } from '../patience.ts'
import type { Digest, Range } from '../store.ts'
import type { Connection } from './connection.ts'
import { failureOf } from './failure.ts'
import { headOf } from './head.ts'

/** How much of an object is still to come. */
interface Rest {
  from: number
  /** Not included; unknown before the first answer to a whole blob. */
  to: number | undefined
  /** Of the first answer: the rest has to be of that same object. */
  etag: string | undefined
}

/** The bytes of a blob; where a connection ends early, another goes on from there. */
export async function* getBlob(
  connection: Connection,
  digest: Digest,
  range?: Range,
): AsyncGenerator<Uint8Array> {
  const key = connection.keys.blob(digest)
  const missing = (): WorkspaceError => missingBlob(digest, connection.place)
  // No request asks for no bytes.
  if (range?.length === 0) {
    if (!(await headOf(connection, key))) throw missing()
    return
  }
  const patience = connection.patience()
  const rest: Rest = { from: range?.offset ?? 0, to: range && range.offset + range.length, etag: undefined }
  for (;;) {
    try {
      const { output, refusal } = await connection.once(
        (client, options) => client.send(requestFor(connection, key, rest), options),
        ['NoSuchKey', 'InvalidRange', 'PreconditionFailed'],
      )
      if (refusal === 'NoSuchKey') throw missing()
      // The range begins where the blob ends, or beyond.
      if (refusal === 'InvalidRange') return
      if (!output || (rest.etag && output.ETag !== rest.etag)) throw replaced(connection, key)
      for await (const chunk of bytesOf(output, rest)) {
        patience.progressed()
        rest.from += chunk.length
        yield chunk
      }
      if (rest.from >= rest.to!) return
      throw new Passing(`the answer ended ${rest.to! - rest.from} bytes early`)
    } catch (error) {
      await patience.after(failureOf(connection.place, error))
    }
  }
}

function requestFor({ bucket }: Connection, key: string, { from, to, etag }: Rest): GetObjectCommand {
  return new GetObjectCommand({
    Bucket: bucket,
    Key: key,
    ...(from > 0 || to ? { Range: `bytes=${from}-${to ? to - 1 : ''}` } : {}),
    ...(etag ? { IfMatch: etag } : {}),
  })
}

/** The bytes of one answer, at most the rest; learns from it how far the rest goes. */
async function* bytesOf(
  { Body, ContentRange, ContentLength, ETag }: GetObjectCommandOutput,
  rest: Rest,
): AsyncGenerator<Uint8Array> {
  const body = Body as AsyncIterable<Uint8Array> & { destroy(): void }
  try {
    const { begin, total } = extent(ContentRange, ContentLength)
    if (begin !== rest.from) throw new Passing(`an answer from byte ${begin} instead of ${rest.from} on`)
    rest.etag = ETag
    rest.to = Math.min(rest.to ?? total, total)
    for await (const chunk of body) yield chunk.subarray(0, rest.to - rest.from)
  } finally {
    body.destroy()
  }
}

/** Where an answer begins, and how many bytes the object has: `bytes 5-9/100`. */
function extent(contentRange = '', contentLength: number | undefined): { begin: number; total: number } {
  const match = /^bytes (\d+)-\d+\/(\d+)$/.exec(contentRange)
  if (match) return { begin: Number(match[1]), total: Number(match[2]) }
  if (contentLength === undefined) throw new Passing('an answer that does not tell its length')
  return { begin: 0, total: contentLength }
}

function replaced({ bucket }: Connection, key: string): WorkspaceError {
  return new WorkspaceError('DIGEST_MISMATCH', `s3://${bucket}/${key} was replaced while it was read`, {
    expected: 'an object that never changes',
    found: 'another ETag',
    hint: 'run the task again; a blob may be renewed in place, but nothing else should write below the prefix',
  })
}
