/**
 * Uploads: blobs that are not whole yet. All of one is its file (upload.ts); so a coordinator that starts again,
 * however the one before it ended, goes on where that one was. Nothing has a blob's name before its sha256 has been
 * checked.
 */
import { dirname, join } from 'node:path'
import type { Readable } from 'node:stream'
import { WorkspaceError } from '../errors.ts'
import type { Emit } from '../events.ts'
import { monotonic } from '../platform/clock.ts'
import * as fs from '../platform/fs.ts'
import { uuid } from '../platform/random.ts'
import { checkDigest } from '../stores/digest.ts'
import { OFFSET_HEADER } from '../stores/coordinator/protocol.ts'
import type { BlobStore, Digest, PutBlob } from '../stores/store.ts'
import type { Layout } from '../volume/layout.ts'
import { TEMPORARY } from '../volume/publish.ts'
import { Refusal } from './refusal.ts'
import type { Space } from './space.ts'
import { cut, progressOf, publishUpload, receive, unlinkUpload, type Upload } from './upload.ts'

/** What a request carries. `length` is what it says, and HTTP lets it be no more. */
export interface Body {
  stream: Readable
  length: number
}

export interface Uploads {
  /** @returns the id of a new one. @throws Refusal 429 where there are too many */
  begin(): Promise<string>
  /** How many bytes of it are there. */
  offset(id: string): Promise<number>
  /**
   * Appends a body. Whoever was appending before has lost its connection, and is cut.
   * @returns the new offset. @throws Refusal 416 where `start` is not the offset, 413 where it gets too large;
   *   what was received before a failure stays
   */
  append(id: string, start: number, body: Body): Promise<number>
  /** Makes it the blob `digest`; told again of one that is finished, it gives the same answer. */
  finish(id: string, digest: Digest): Promise<PutBlob>
  /** All of it at once, for a body whose digest is known. */
  whole(body: Body, digest: Digest): Promise<PutBlob>
  remove(id: string): Promise<void>
  /** Gives up what nobody has asked for in a while. */
  expire(): Promise<void>
}

export interface UploadsOptions {
  layout: Layout
  blobs: BlobStore
  space: Space
  maxBlob: number
  maxUploads: number
  idleMs: number
  emit: Emit
}

interface State extends UploadsOptions {
  folder: string
  uploads: Map<string, Upload>
}

const PREFIX = `${TEMPORARY}upload-`

/** The uploads on a volume, with those that an earlier coordinator left. */
export async function uploadsOn(options: UploadsOptions): Promise<Uploads> {
  const state = {
    ...options,
    folder: dirname(options.layout.blob('any')),
    uploads: new Map<string, Upload>(),
  }
  await findUploads(state)
  return {
    begin: async () => (await begin(state)).id,
    async offset(id) {
      const upload = find(state, id)
      await cut(upload)
      return (await progressOf(upload)).offset
    },
    append: async (id, start, body) => append(state, find(state, id), start, body),
    finish: async (id, digest) => finish(state, find(state, id), checkDigest(digest)),
    whole: (body, digest) => whole(state, body, checkDigest(digest)),
    remove: async (id) => remove(state, find(state, id)),
    expire: () => expire(state),
  }
}

async function findUploads(state: State): Promise<void> {
  const { folder } = state
  await fs.mkdirp(folder)
  for (const { name } of await fs.list(folder)) {
    if (!name.startsWith(PREFIX)) continue
    // A second name is its blob's: only the removal of this one is missing.
    if ((await fs.lstat(join(folder, name))).nlink > 1) await fs.unlink(join(folder, name))
    else add(state, name.slice(PREFIX.length))
  }
}

function add({ folder, uploads }: State, id: string): Upload {
  const upload: Upload = { id, path: join(folder, PREFIX + id), usedAt: monotonic() }
  uploads.set(id, upload)
  return upload
}

function find({ uploads }: State, id: string): Upload {
  const upload = uploads.get(id)
  if (!upload) throw new Refusal(404, 'there is no such upload: it was finished, or given up')
  upload.usedAt = monotonic()
  return upload
}

async function begin(state: State): Promise<Upload> {
  const { uploads, maxUploads } = state
  const open = [...uploads.values()].filter(({ finished }) => !finished).length
  if (open >= maxUploads)
    throw new Refusal(429, `${open} uploads are under way, and no more may be`, { 'retry-after': '2' })
  const upload = add(state, uuid())
  try {
    await (await fs.create(upload.path)).close()
  } catch (error) {
    uploads.delete(upload.id)
    throw error
  }
  return upload
}

async function append(state: State, upload: Upload, start: number, body: Body): Promise<number> {
  const { maxBlob, space } = state
  await cut(upload)
  const progress = await progressOf(upload)
  const { offset } = progress
  if (upload.finished) throw new Refusal(409, 'the upload is finished, or about to be')
  if (start !== offset || upload.writer)
    throw new Refusal(416, `the upload is at byte ${offset}, not ${start}`, {
      [OFFSET_HEADER]: String(offset),
    })
  if (start + body.length > maxBlob)
    throw new Refusal(413, `a blob may have ${maxBlob} bytes at most (COORDINATOR_MAX_BLOB)`)
  const writing = receive(upload, progress, body.stream, (bytes) => space.add(bytes))
  upload.writer = { stream: body.stream, ended: writing.catch(() => {}) }
  try {
    await writing
  } finally {
    delete upload.writer
    upload.usedAt = monotonic()
  }
  return progress.offset
}

async function finish(state: State, upload: Upload, digest: Digest): Promise<PutBlob> {
  upload.finished ??= publish(state, upload, digest).catch((error: unknown) => {
    delete upload.finished
    throw error
  })
  const blob = await upload.finished
  if (blob.digest === digest) return blob
  throw new Refusal(409, `the upload is finished as ${blob.digest}`)
}

async function publish(state: State, upload: Upload, digest: Digest): Promise<PutBlob> {
  const { layout, blobs, space } = state
  await cut(upload)
  const { offset: size, hash } = await progressOf(upload)
  const found = `sha256:${hash.copy().digest('hex')}`
  if (found !== digest) {
    await remove(state, upload)
    throw wrongDigest(digest, found)
  }
  const there = await blobs.size(digest)
  const isNew = there === undefined && (await publishUpload(upload, layout.blob(digest)))
  if (!isNew) refuseDamaged(digest, size, there ?? (await blobs.size(digest)))
  space.add(-(await unlinkUpload(upload)))
  return { digest, size, isNew }
}

async function whole(state: State, body: Body, digest: Digest): Promise<PutBlob> {
  const upload = await begin(state)
  try {
    await append(state, upload, 0, body)
    return await finish(state, upload, digest)
  } finally {
    await remove(state, upload)
  }
}

async function remove({ uploads, space }: State, upload: Upload): Promise<void> {
  uploads.delete(upload.id)
  await cut(upload)
  space.add(-(await unlinkUpload(upload)))
}

async function expire(state: State): Promise<void> {
  const { uploads, idleMs, emit } = state
  for (const upload of uploads.values()) {
    if (upload.writer || monotonic() - upload.usedAt < idleMs) continue
    const isDone = await upload.finished?.catch(() => undefined)
    await remove(state, upload)
    if (!isDone) emit({ event: 'upload-expired', id: upload.id, idleMs })
  }
}

function wrongDigest(expected: Digest, found: Digest): WorkspaceError {
  return new WorkspaceError('DIGEST_MISMATCH', 'what was received is not what its digest says', {
    expected,
    found,
    hint: 'something on the way changed it: store it again',
  })
}

function refuseDamaged(digest: Digest, size: number, found: number | undefined): void {
  if (found === size) return
  throw new WorkspaceError('DIGEST_MISMATCH', `the blob ${digest} is damaged on the coordinator's disk`, {
    expected: `${size} bytes`,
    found: found === undefined ? 'a name that cannot be opened' : `${found} bytes`,
    hint: 'move that file away on its disk, and store it again',
  })
}
