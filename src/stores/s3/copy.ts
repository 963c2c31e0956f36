import { CopyObjectCommand } from '@aws-sdk/client-s3'
import type { Connection } from './connection.ts'
import { beginUpload, COPY_PART, copySource } from './multipart.ts'

/** What one request copies at the most. */
const MOST_AT_ONCE = 5 * COPY_PART

/** Has the server copy an object of `size` bytes, or renew it by a copy onto itself. */
export async function copyObject(
  connection: Connection,
  from: string,
  to: string,
  size: number,
): Promise<void> {
  if (size > MOST_AT_ONCE) return copyInParts(connection, from, to, size, COPY_PART)
  await connection.demand((client, options) =>
    client.send(
      new CopyObjectCommand({
        Bucket: connection.bucket,
        Key: to,
        CopySource: copySource(connection, from),
        // A copy onto itself is taken only where it changes something.
        MetadataDirective: 'REPLACE',
      }),
      options,
    ),
  )
}

export async function copyInParts(
  connection: Connection,
  from: string,
  to: string,
  size: number,
  partSize: number,
): Promise<void> {
  const upload = await beginUpload(connection, to)
  try {
    await upload.copy(from, size, partSize)
    await upload.complete(size)
  } catch (error) {
    await upload.abort()
    throw error
  }
}
