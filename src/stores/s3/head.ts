import { GetObjectCommand, HeadObjectCommand, type S3Client } from '@aws-sdk/client-s3'
import type { Connection, SendOptions } from './connection.ts'

/** What is known of an object without its content. */
export interface ObjectFacts {
  /** Bytes. */
  size: number
  /** By the server's clock, in ms since the epoch. */
  modifiedAt: number
  contentType: string | undefined
  metadata: Record<string, string>
}

/** The facts of an object, or undefined where there is none. */
export async function headOf(connection: Connection, key: string): Promise<ObjectFacts | undefined> {
  const object = { Bucket: connection.bucket, Key: key }
  const { output } = await connection.ask((client, options) => head(client, object, options), ['NotFound'])
  if (!output) return undefined
  return {
    size: output.ContentLength ?? 0,
    modifiedAt: output.LastModified?.getTime() ?? 0,
    contentType: output.ContentType,
    metadata: output.Metadata ?? {},
  }
}

async function head(client: S3Client, object: { Bucket: string; Key: string }, options: SendOptions) {
  try {
    return await client.send(new HeadObjectCommand(object), options)
  } catch (error) {
    // A refused HEAD has no body to say why: a GET has.
    if (error instanceof Error && error.name === 'Unknown') {
      const { Body } = await client.send(new GetObjectCommand(object), options)
      ;(Body as { destroy?(): void } | undefined)?.destroy?.()
    }
    throw error
  }
}
