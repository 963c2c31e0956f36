/** What each request does: blobs, uploads, entries, names and runs. */
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { WorkspaceError } from '../errors.ts'
import type { Emit } from '../events.ts'
import { checkDigest, missingBlob } from '../stores/digest.ts'
import {
  MAX_BODY,
  OFFSET_HEADER,
  PROTOCOL,
  PROTOCOL_HEADER,
  uploadPath,
} from '../stores/coordinator/protocol.ts'
import type { ArtifactStore, Range } from '../stores/store.ts'
import { pointAlias } from '../volume/init-run.ts'
import { checkName } from '../volume/layout.ts'
import type { Volume } from '../volume/volume.ts'
import { answer, bodyLength, readBody, type Call } from './answer.ts'
import { Refusal } from './refusal.ts'
import type { Space } from './space.ts'
import type { Body, Uploads } from './uploads.ts'

export interface Kept {
  volume: Volume
  store: ArtifactStore
  uploads: Uploads
  space: Space
  emit: Emit
}

type Route = (kept: Kept, call: Call) => Promise<void>

/** By the kind of thing and the method. */
export const ROUTES: Record<string, Record<string, Route>> = {
  blobs: { HEAD: headBlob, GET: getBlob },
  uploads: { POST: postUpload, GET: getUpload, PATCH: patchUpload, PUT: putUpload, DELETE: deleteUpload },
  entries: { GET: getEntries, PUT: putEntry },
  names: { GET: getNames },
  runs: { GET: getRun, PUT: putRun },
}

/** The most that a document may have: index.json has some hundred bytes. */
const MAX_DOCUMENT = 1024 * 1024
/** The folders of a volume in which others may publish and read entries. */
const KEPT = ['artifacts', 'shared']

async function headBlob({ store }: Kept, call: Call): Promise<void> {
  const size = await store.blobs.size(oneName(call))
  if (size === undefined) return answer(call, 404)
  answer(call, 200, undefined, { 'content-length': String(size), 'accept-ranges': 'bytes' })
}

async function getBlob({ store }: Kept, call: Call): Promise<void> {
  const digest = checkDigest(oneName(call))
  const size = await store.blobs.size(digest)
  if (size === undefined) throw missingBlob(digest, store.place)
  const range = rangeOf(call.request.headers.range, size)
  const { offset, length } = range ?? { offset: 0, length: size }
  call.response.writeHead(range ? 206 : 200, {
    [PROTOCOL_HEADER]: PROTOCOL,
    'content-type': 'application/octet-stream',
    'content-length': length,
    ...(range ? { 'content-range': `bytes ${offset}-${offset + length - 1}/${size}` } : {}),
  })
  // A client that goes away is no failure of this side.
  await pipeline(Readable.from(store.blobs.get(digest, range)), call.response).catch(() => {
    call.response.destroy()
  })
}

/** @throws Refusal 416 where nothing is at its beginning */
function rangeOf(header: string | undefined, size: number): Range | undefined {
  if (header === undefined) return undefined
  const [, first, last] = /^bytes=(\d+)-(\d*)$/.exec(header) ?? []
  const offset = Number(first)
  const end = last ? Math.min(Number(last) + 1, size) : size
  if (first === undefined || offset >= end)
    throw new Refusal(416, `expected a range within ${size} bytes, found ${header}`, {
      'content-range': `bytes */${size}`,
    })
  return { offset, length: end - offset }
}

async function postUpload({ uploads, space }: Kept, call: Call): Promise<void> {
  const digest = call.query.get('digest')
  if (digest !== null) {
    const body = await bodyOf(call, space)
    return answer(call, 201, await uploads.whole(body, digest))
  }
  await space.check(0)
  const id = await uploads.begin()
  answer(call, 202, undefined, { location: uploadPath(id), [OFFSET_HEADER]: '0' })
}

async function bodyOf({ request }: Call, space: Space): Promise<Body> {
  const length = bodyLength(request, MAX_BODY)
  await space.check(length)
  return { stream: request, length }
}

async function getUpload({ uploads }: Kept, call: Call): Promise<void> {
  answer(call, 204, undefined, { [OFFSET_HEADER]: String(await uploads.offset(oneName(call))) })
}

async function patchUpload({ uploads, space }: Kept, call: Call): Promise<void> {
  const start = call.request.headers[OFFSET_HEADER]
  if (typeof start !== 'string' || !/^\d+$/.test(start))
    throw new Refusal(400, `expected ${OFFSET_HEADER}, where the body goes on from`)
  const body = await bodyOf(call, space)
  const offset = await uploads.append(oneName(call), Number(start), body)
  answer(call, 202, undefined, { [OFFSET_HEADER]: String(offset) })
}

async function putUpload({ uploads }: Kept, call: Call): Promise<void> {
  answer(call, 201, await uploads.finish(oneName(call), call.query.get('digest') ?? ''))
}

async function deleteUpload({ uploads }: Kept, call: Call): Promise<void> {
  await uploads.remove(oneName(call))
  answer(call, 204)
}

async function getEntries({ store }: Kept, call: Call): Promise<void> {
  const entry = call.query.get('entry')
  const path = keptPath(call)
  if (entry === null) return answer(call, 200, await store.entries(path))
  answer(call, 200, await store.read(path, checkEntry(entry)))
}

async function putEntry({ store, space, emit }: Kept, call: Call): Promise<void> {
  const path = keptPath(call)
  const entry = checkEntry(call.query.get('entry') ?? '')
  const kind = call.query.get('kind')
  if (kind !== 'artifact' && kind !== 'seal') throw new Refusal(400, 'expected kind=artifact or kind=seal')
  const document = await readBody(call.request, MAX_DOCUMENT)
  await space.check(document.length)
  if (!(await store.publish(path, entry, kind, document.toString())))
    throw new Refusal(409, `${[...path, entry].join('/')} is taken`)
  emit({ event: 'entry-published', path: [...path, entry].join('/'), kind })
  answer(call, 201)
}

async function getNames({ store }: Kept, call: Call): Promise<void> {
  call.names.forEach((name) => checkName(name, 'name'))
  answer(call, 200, KEPT.includes(call.names[0] ?? '') ? await store.names(call.names) : [])
}

async function getRun({ store }: Kept, call: Call): Promise<void> {
  const uid = await store.findRun(...runName(call))
  if (uid === undefined) throw new Refusal(404, 'there is no such run')
  answer(call, 200, { uid })
}

async function putRun({ volume }: Kept, call: Call): Promise<void> {
  const [namespace, name] = runName(call)
  const uid = (await readBody(call.request, MAX_DOCUMENT)).toString()
  const run = { kind: 'PipelineRun', namespace, name, uid: checkName(uid, 'run id') } as const
  await pointAlias(volume, run, volume.layout.run(uid))
  answer(call, 204)
}

function oneName({ names }: Call): string {
  const [name] = names
  if (name !== undefined && names.length === 1) return name
  throw new Refusal(404, 'there is nothing here')
}

function runName({ names }: Call): [namespace: string, name: string] {
  const [namespace, name] = names
  if (namespace === undefined || name === undefined || names.length !== 2)
    throw new Refusal(404, 'there is nothing here')
  return [checkName(namespace, 'namespace'), checkName(name, 'name of a run')]
}

/** Each name is checked where it becomes a path (volume/layout.ts); which folders these are, here. */
function keptPath({ names }: Call): string[] {
  if (names.length > 1 && KEPT.includes(names[0] ?? '')) return names
  throw new WorkspaceError('UNSAFE_PATH', `no entries are kept at ${JSON.stringify(names.join('/'))}`, {
    expected: `a path below ${KEPT.join(' or ')}`,
    found: JSON.stringify(names.join('/')),
  })
}

function checkEntry(entry: string): string {
  if (/^\d{1,15}\.\d{1,15}$/.test(entry)) return entry
  throw new WorkspaceError('UNSAFE_PATH', `${JSON.stringify(entry)} is not the name of an entry`, {
    expected: '<epoch>.<n>',
    found: JSON.stringify(entry),
  })
}
