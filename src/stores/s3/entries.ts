/** Entries: an object each, so that an artifact and a seal compete for one key. Its media type tells which it is. */
import { GetObjectCommand, ListObjectsV2Command, type ListObjectsV2CommandOutput } from '@aws-sdk/client-s3'
import pLimit from 'p-limit'
import { WorkspaceError } from '../../errors.ts'
import type { EntryKind, EntryPath, StoreEntry } from '../store.ts'
import type { Connection } from './connection.ts'
import { headOf } from './head.ts'

export const MEDIA_TYPES: Record<EntryKind, string> = {
  artifact: 'application/vnd.oci.image.index.v1+json',
  seal: 'application/vnd.shared-workspace.seal.v1+json',
}

const AT_ONCE = 8

/** Every page of a listing. With a delimiter, what follows it in a key is left to the common prefixes. */
export async function* list(
  connection: Connection,
  prefix: string,
  Delimiter?: string,
): AsyncGenerator<ListObjectsV2CommandOutput> {
  let ContinuationToken: string | undefined
  do {
    const request = { Bucket: connection.bucket, Prefix: prefix, ContinuationToken, Delimiter }
    const page = await connection.demand((client, options) =>
      client.send(new ListObjectsV2Command(request), options),
    )
    yield page
    ContinuationToken = page.NextContinuationToken
  } while (ContinuationToken)
}

/** The entries at a path, lowest first. `kinds` remembers what each is, since an entry never changes. */
export async function listEntries(
  connection: Connection,
  path: EntryPath,
  kinds: Map<string, EntryKind>,
): Promise<StoreEntry[]> {
  const below = connection.keys.below(path)
  const limit = pLimit(AT_ONCE)
  const found: Promise<StoreEntry | undefined>[] = []
  for await (const { Contents = [] } of list(connection, below))
    for (const { Key = '' } of Contents) {
      const match = /^((\d+)\.(\d+))\/index\.json$/.exec(Key.slice(below.length))
      if (match) found.push(limit(() => entryOf(connection, Key, match, kinds)))
    }
  const entries = (await Promise.all(found)).filter((entry) => entry !== undefined)
  return entries.sort((a, b) => a.epoch - b.epoch || a.n - b.n)
}

/** Undefined where it is gone since it was listed. */
async function entryOf(
  connection: Connection,
  key: string,
  [, name = '', epoch, n]: RegExpExecArray,
  kinds: Map<string, EntryKind>,
): Promise<StoreEntry | undefined> {
  let kind = kinds.get(key)
  if (!kind) {
    const facts = await headOf(connection, key)
    if (!facts) return undefined
    kind = facts.contentType === MEDIA_TYPES.seal ? 'seal' : 'artifact'
    kinds.set(key, kind)
  }
  return { epoch: Number(epoch), n: Number(n), name, kind }
}

/** @throws WorkspaceError ARTIFACT_NOT_FOUND */
export async function readEntry(connection: Connection, key: string): Promise<Buffer> {
  const { output } = await connection.ask(
    async (client, options) => {
      const { Body } = await client.send(
        new GetObjectCommand({ Bucket: connection.bucket, Key: key }),
        options,
      )
      return Body!.transformToByteArray()
    },
    ['NoSuchKey'],
  )
  if (output) return Buffer.from(output)
  throw new WorkspaceError('ARTIFACT_NOT_FOUND', `s3://${connection.bucket}/${key} is gone`, {
    expected: 'the entry that was listed',
    found: 'nothing',
    hint: 'a lifecycle rule of the bucket may have taken it: run the task that made it again',
  })
}

/** The names right below a path, sorted. */
export async function listNames(connection: Connection, path: EntryPath): Promise<string[]> {
  const below = connection.keys.below(path)
  const names: string[] = []
  for await (const { CommonPrefixes = [], Contents = [] } of list(connection, below, '/')) {
    names.push(...CommonPrefixes.map(({ Prefix = '' }) => Prefix.slice(below.length, -1)))
    names.push(...Contents.map(({ Key = '' }) => Key.slice(below.length)))
  }
  return names.sort()
}
