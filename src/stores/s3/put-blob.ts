/**
 * Content on its way into the bucket. Its digest is its key, so it has to be known before anything travels that
 * should not be there twice:
 * - what fits into a few parts waits in memory until its digest is known;
 * - larger content is hashed first and then read again, to go straight to its key;
 * - what cannot be read again is uploaded beside, and the server copies it to its key, unless that is there.
 */
import { DeleteObjectCommand } from '@aws-sdk/client-s3'
import { WorkspaceError } from '../../errors.ts'
import { wallNow } from '../../platform/clock.ts'
import { shortId } from '../../platform/random.ts'
import type { Digest, PutBlob } from '../store.ts'
import type { Connection, Send } from './connection.ts'
import { copyObject } from './copy.ts'
import { createExclusively } from './exclusive.ts'
import { headOf } from './head.ts'
import { beginUpload, PART, partSizeFor } from './multipart.ts'
import { chain, cut, hashed, take } from './parts.ts'

/** Bytes that wait in memory: most packs of source code are no larger. */
const HELD = 16 * 1024 * 1024
const DAY_MS = 24 * 60 * 60 * 1000

interface Blob {
  digest: Digest
  /** Bytes. */
  size: number
}

type Content = AsyncIterable<Uint8Array>

export async function putBlob(
  connection: Connection,
  content: Content,
  again?: () => Content,
): Promise<PutBlob> {
  const { chunks, made } = hashed(content)
  try {
    const held: Uint8Array[] = []
    if (await take(chunks, held, HELD)) return await putWhole(connection, Buffer.concat(held), made())
    if (!again) return await putUnknown(connection, cut(chain(held, chunks), PART), made)
    held.length = 0
    for await (const _ of chunks);
  } finally {
    await chunks.return()
  }
  return putAgain(connection, again, made())
}

async function putWhole(connection: Connection, body: Buffer, blob: Blob): Promise<PutBlob> {
  if (await isThere(connection, blob)) return { ...blob, isNew: false }
  const key = connection.keys.blob(blob.digest)
  const isNew = await createExclusively(connection, key, { body, contentType: 'application/octet-stream' })
  if (!isNew) await isThere(connection, blob)
  return { ...blob, isNew }
}

/** No condition: whoever else completes an upload to this key brings the same content. */
async function putAgain(connection: Connection, again: () => Content, blob: Blob): Promise<PutBlob> {
  if (await isThere(connection, blob)) return { ...blob, isNew: false }
  const { chunks, made } = hashed(again())
  const parts = cut(chunks, partSizeFor(blob.size))
  await uploadTo(connection, connection.keys.blob(blob.digest), parts, async () => {
    const second = made()
    if (second.digest !== blob.digest) throw changed(blob, second)
    return blob.size
  })
  return { ...blob, isNew: true }
}

async function putUnknown(
  connection: Connection,
  parts: AsyncIterable<Buffer>,
  made: () => Blob,
): Promise<PutBlob> {
  const waiting = connection.keys.upload(shortId())
  let blob: Blob | undefined
  const completed = await uploadTo(connection, waiting, parts, async () => {
    blob = made()
    return (await isThere(connection, blob)) ? undefined : blob.size
  })
  if (!completed) return { ...blob!, isNew: false }
  try {
    await copyObject(connection, waiting, connection.keys.blob(blob!.digest), blob!.size)
  } finally {
    const object = { Bucket: connection.bucket, Key: waiting }
    const remove: Send<unknown> = (client, options) => client.send(new DeleteObjectCommand(object), options)
    await connection.tidy('a copy of content', remove, 'NoSuchKey')
  }
  return { ...blob!, isNew: true }
}

/**
 * Uploads to a key. Once everything is sent, `decide` gives its size, and it becomes visible; undefined drops it.
 * @returns whether it became visible; where this rejects, it did not
 */
async function uploadTo(
  connection: Connection,
  key: string,
  parts: AsyncIterable<Buffer>,
  decide: () => Promise<number | undefined>,
): Promise<boolean> {
  const upload = await beginUpload(connection, key)
  let completed = false
  try {
    await upload.send(parts)
    const size = await decide()
    if (size !== undefined) {
      await upload.complete(size)
      completed = true
    }
    return completed
  } finally {
    if (!completed) await upload.abort()
  }
}

function changed(first: Blob, second: Blob): WorkspaceError {
  return new WorkspaceError('SOURCE_CHANGED', 'content changed while it was being stored', {
    expected: `${first.digest}, ${first.size} bytes`,
    found: `${second.digest}, ${second.size} bytes`,
    hint: 'let the task finish writing before it stores its output',
  })
}

/**
 * Whether the bucket has a blob. One that its lifecycle rules might take before an artifact that is stored now is
 * renewed by a copy onto itself, a day before that could begin to matter.
 * @throws WorkspaceError DIGEST_MISMATCH where it cannot be that content
 */
async function isThere(connection: Connection, { digest, size }: Blob): Promise<boolean> {
  const key = connection.keys.blob(digest)
  const facts = await headOf(connection, key)
  if (!facts) return false
  if (facts.size !== size) throw damaged(connection, key, size, facts.size)
  const renewAfterDays = connection.cleanupDays - 1
  if (wallNow() - facts.modifiedAt > renewAfterDays * DAY_MS) await copyObject(connection, key, key, size)
  return true
}

function damaged({ bucket }: Connection, key: string, expected: number, found: number): WorkspaceError {
  return new WorkspaceError('DIGEST_MISMATCH', `the blob s3://${bucket}/${key} is damaged`, {
    expected: `${expected} bytes`,
    found: `${found} bytes`,
    hint: 'delete this object and run the task again: it then writes the blob anew',
  })
}
