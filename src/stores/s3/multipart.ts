/** Multipart uploads: nothing of one is visible before it is complete. */
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  UploadPartCommand,
  UploadPartCopyCommand,
  type CompletedPart,
} from '@aws-sdk/client-s3'
import { WorkspaceError } from '../../errors.ts'
import type { Connection } from './connection.ts'
import { headOf } from './head.ts'

/** Servers take at least 5 MiB, except in the last part, and at most this many parts. */
export const PART = 8 * 1024 * 1024
const MOST_PARTS = 10_000
/** Each is in memory until the server has it. */
const PARTS_AT_ONCE = 2
/** The most that one request can copy is 5 GiB. */
export const COPY_PART = 1024 ** 3

/** The size of parts that suffices for a blob of `size` bytes; some servers want all parts alike. */
export const partSizeFor = (size: number): number =>
  Math.max(PART, Math.ceil(size / MOST_PARTS / PART) * PART)

export interface Upload {
  /** Sends parts; each but the last of the same size. */
  send(parts: AsyncIterable<Buffer>): Promise<void>
  /** Has the server copy an object of `size` bytes, in parts. */
  copy(from: string, size: number, partSize: number): Promise<void>
  /** Makes the object visible, of `size` bytes. */
  complete(size: number): Promise<void>
  /** Leaves nothing behind; never fails. */
  abort(): Promise<void>
}

export async function beginUpload(connection: Connection, key: string): Promise<Upload> {
  const target = { Bucket: connection.bucket, Key: key }
  const { UploadId } = await connection.demand((client, options) =>
    client.send(new CreateMultipartUploadCommand(target), options),
  )
  const upload = { ...target, UploadId }
  const done: CompletedPart[] = []
  const under = (PartNumber: number, ETag: string | undefined): void => {
    done[PartNumber - 1] = { PartNumber, ETag }
  }
  return {
    async send(parts) {
      const sending = new Set<Promise<void>>()
      let failure: { error: unknown } | undefined
      let PartNumber = 0
      const start = (part: { PartNumber: number; Body: Buffer }): void => {
        const sent = connection
          .demand((client, options) => client.send(new UploadPartCommand({ ...upload, ...part }), options))
          .then(
            ({ ETag }) => under(part.PartNumber, ETag),
            (error: unknown) => void (failure ??= { error }),
          )
          .finally(() => sending.delete(sent))
        sending.add(sent)
      }
      try {
        for await (const Body of parts) {
          start({ PartNumber: ++PartNumber, Body })
          if (sending.size >= PARTS_AT_ONCE) await Promise.race(sending)
          if (failure) break
        }
      } finally {
        // A part that arrives after an abort would stay.
        await Promise.all(sending)
      }
      if (failure) throw failure.error
    },
    async copy(from, size, partSize) {
      for (let start = 0, PartNumber = 1; start < size; start += partSize, PartNumber++) {
        const part = {
          ...upload,
          PartNumber,
          CopySource: copySource(connection, from),
          CopySourceRange: `bytes=${start}-${Math.min(start + partSize, size) - 1}`,
        }
        const { CopyPartResult } = await connection.demand((client, options) =>
          client.send(new UploadPartCopyCommand(part), options),
        )
        under(PartNumber, CopyPartResult?.ETag)
      }
    },
    async complete(size) {
      const { refusal, again } = await connection.ask(
        (client, options) =>
          client.send(
            new CompleteMultipartUploadCommand({ ...upload, MultipartUpload: { Parts: done } }),
            options,
          ),
        ['NoSuchUpload'],
      )
      // The answer to a try that succeeded can be lost, and the upload with it.
      if (refusal && !(again && (await headOf(connection, key))?.size === size)) throw vanished(connection)
    },
    abort: () =>
      connection.tidy(
        'an unfinished upload',
        (client, options) => client.send(new AbortMultipartUploadCommand(upload), options),
        'NoSuchUpload',
      ),
  }
}

/** As the x-amz-copy-source header wants it: no name of ours needs encoding. */
export const copySource = ({ bucket }: Connection, key: string): string => `${bucket}/${key}`

function vanished({ place }: Connection): WorkspaceError {
  return new WorkspaceError('STORE_UNAVAILABLE', `an upload to ${place} is gone before it was complete`, {
    expected: 'unfinished uploads that are kept for a day',
    found: 'NoSuchUpload',
    hint: 'run the task again; look at the lifecycle rules of the bucket (docs/storage.md)',
  })
}
