/** Objects that only one writer gets to create. */
import { PutObjectCommand } from '@aws-sdk/client-s3'
import { WorkspaceError } from '../../errors.ts'
import { uuid } from '../../platform/random.ts'
import type { Connection } from './connection.ts'
import { headOf } from './head.ts'

/** What a server says that knows the condition, and one that does not. */
const TAKEN = 'PreconditionFailed'
const NOT_IMPLEMENTED = 'NotImplemented'

export interface NewObject {
  body: Buffer
  contentType: string
}

/**
 * Creates an object: it is there whole, or not at all.
 * @returns false where the key was taken already; what is there is left as it is.
 */
export async function createExclusively(
  connection: Connection,
  key: string,
  { body, contentType }: NewObject,
): Promise<boolean> {
  const writer = uuid()
  const { refusal, again } = await connection.ask(
    (client, options) =>
      client.send(
        new PutObjectCommand({
          Bucket: connection.bucket,
          Key: key,
          Body: body,
          ContentType: contentType,
          Metadata: { writer },
          IfNoneMatch: '*',
        }),
        options,
      ),
    [TAKEN],
  )
  if (!refusal) return true
  // The answer to a try that succeeded can be lost and the next one say that the key is taken: by ourselves.
  return again && (await headOf(connection, key))?.metadata['writer'] === writer
}

/**
 * Makes sure that the server honours the condition: one that passes over it would let two writers replace each
 * other. @throws WorkspaceError STORAGE_UNSAFE
 */
export async function requireExclusion(connection: Connection): Promise<void> {
  // The first try ever creates the object, so the second must be refused.
  for (const _ of ['create', 'refuse']) {
    const { refusal } = await connection.ask(
      (client, options) =>
        client.send(
          new PutObjectCommand({
            Bucket: connection.bucket,
            Key: connection.keys.exclusive,
            Body: Buffer.from('Only one writer can create this object.\n'),
            IfNoneMatch: '*',
          }),
          options,
        ),
      [TAKEN, NOT_IMPLEMENTED],
    )
    if (refusal === TAKEN) return
    if (refusal === NOT_IMPLEMENTED) break
  }
  throw new WorkspaceError(
    'STORAGE_UNSAFE',
    `the server of ${connection.place} cannot create keys exclusively`,
    {
      expected: 'HTTP 412 to a PUT with If-None-Match: * of a key that is there',
      found: 'a server that passes over the condition',
      hint: 'use a newer version of the server, another one, or the strategy coordinator or pvc',
    },
  )
}
