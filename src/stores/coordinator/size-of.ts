import { checkDigest } from '../digest.ts'
import type { Digest } from '../store.ts'
import type { Connection } from './connection.ts'
import { blobPath } from './protocol.ts'

/** The size of a blob, or undefined where the coordinator does not have it. */
export async function sizeOf(connection: Connection, digest: Digest): Promise<number | undefined> {
  const path = blobPath(checkDigest(digest))
  const { status, headers } = await connection.ask({ method: 'HEAD', path }, [200, 404])
  return status === 200 ? Number(headers['content-length']) : undefined
}
