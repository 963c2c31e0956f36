/**
 * Artifacts in a bucket of any S3-compatible server that honours `If-None-Match: *`, laid out as on the volume:
 * blobs under `store/blobs/sha256/`, entries under their path. Nothing is ever replaced by other content.
 *
 * Nothing here deletes what is old: lifecycle rules of the bucket do. After `cleanupDays` they may take
 * `artifacts/`, `shared/` and `by-name/`; after twice as many `store/blobs/`, since a blob that a new artifact
 * needs is renewed a day before it is `cleanupDays` old; after a day `store/uploads/` and unfinished multipart uploads.
 */
import { checkName } from '../../volume/layout.ts'
import type { ArtifactStore, EntryKind } from '../store.ts'
import { connectionTo, type S3Options } from './connection.ts'
import { list, listEntries, listNames, MEDIA_TYPES, readEntry } from './entries.ts'
import { createExclusively, requireExclusion } from './exclusive.ts'
import { getBlob } from './get-blob.ts'
import { headOf } from './head.ts'
import { putBlob } from './put-blob.ts'

export type { S3Options }

/** @throws WorkspaceError UNSAFE_PATH for a prefix that is none; nothing is asked of the server yet */
export function s3Artifacts(options: S3Options): ArtifactStore {
  const connection = connectionTo(options)
  const { place, keys } = connection
  const kinds = new Map<string, EntryKind>()
  let exclusion: Promise<void> | undefined
  return {
    strategy: 's3',
    place,
    blobs: {
      place,
      size: async (digest) => (await headOf(connection, keys.blob(digest)))?.size,
      put: (content, again) => putBlob(connection, content, again),
      get: (digest, range) => getBlob(connection, digest, range),
    },
    entries: (path) => listEntries(connection, path, kinds),
    read: async (path, entry) => readEntry(connection, keys.entry(path, entry)),
    async publish(path, entry, kind, document) {
      const key = keys.entry(path, entry)
      await (exclusion ??= requireExclusion(connection))
      const object = { body: Buffer.from(document), contentType: MEDIA_TYPES[kind] }
      return createExclusively(connection, key, object)
    },
    names: async (path) => listNames(connection, path),
    async findRun(namespace, name) {
      const folder = keys.run(namespace, name)
      let latest: { uid: string; at: number } | undefined
      for await (const { Contents = [] } of list(connection, folder))
        for (const { Key = '', LastModified } of Contents) {
          const at = LastModified?.getTime() ?? 0
          if (!latest || at >= latest.at) latest = { uid: Key.slice(folder.length), at }
        }
      return latest?.uid
    },
    // Created only once, so that of several runs of a name the one that began last is the latest.
    async nameRun({ namespace, name, uid }) {
      const key = keys.run(namespace, name) + checkName(uid, 'run id')
      await createExclusively(connection, key, { body: Buffer.alloc(0), contentType: 'text/plain' })
    },
  }
}
