/**
 * Puts a stream into a coordinator. What fits into memory is hashed first and sent only where it is missing. The rest
 * goes in blocks, each kept until the server has it: a connection that is cut, or a server that starts again, costs
 * no more than a block.
 */
import type { Hash } from 'node:crypto'
import { startSha256 } from '../../platform/hash.ts'
import { WorkspaceError } from '../../errors.ts'
import { parseJson } from '../../json.ts'
import type { HttpRequest } from '../../platform/http-client.ts'
import type { Digest, PutBlob } from '../store.ts'
import { sizeOf } from './size-of.ts'
import type { Answer, Connection } from './connection.ts'
import { Passing, type Patience } from '../patience.ts'
import { OFFSET_HEADER, Stored, uploadPath } from './protocol.ts'

const BLOCK = 4 * 1024 * 1024

interface Block {
  chunks: Uint8Array[]
  length: number
}

export async function upload(connection: Connection, content: AsyncIterable<Uint8Array>): Promise<PutBlob> {
  const hash = startSha256()
  const blocks = blocksOf(content, hash)
  try {
    const first = await blocks.next()
    const second = first.done ? first : await blocks.next()
    if (second.done) return await uploadWhole(connection, first.value?.chunks ?? [], digestOf(hash))
    return await uploadBlocks(connection, [first.value!, second.value], blocks, hash)
  } finally {
    await blocks.return(undefined)
  }
}

const digestOf = (hash: Hash): Digest => `sha256:${hash.digest('hex')}`

/** Each chunk is hashed when it comes: the server's own sum then tells of any that changed while it was kept. */
async function* blocksOf(
  content: AsyncIterable<Uint8Array>,
  hash: Hash,
): AsyncGenerator<Block, undefined, void> {
  let block: Block = { chunks: [], length: 0 }
  for await (const chunk of content) {
    hash.update(chunk)
    for (let rest = chunk; rest.length > 0;) {
      const part = rest.subarray(0, BLOCK - block.length)
      block.chunks.push(part)
      block.length += part.length
      rest = rest.subarray(part.length)
      if (block.length < BLOCK) continue
      yield block
      block = { chunks: [], length: 0 }
    }
  }
  if (block.length > 0) yield block
  return undefined
}

async function uploadWhole(
  connection: Connection,
  body: readonly Uint8Array[],
  digest: Digest,
): Promise<PutBlob> {
  const size = body.reduce((sum, chunk) => sum + chunk.length, 0)
  const there = await sizeOf(connection, digest)
  if (there === size) return { digest, size, isNew: false }
  const headers = { 'content-length': String(size) }
  const request = { method: 'POST', path: uploadPath('', digest), headers, body }
  return readStored(connection, await connection.ask(request, [201]))
}

async function uploadBlocks(
  connection: Connection,
  waiting: Block[],
  blocks: AsyncGenerator<Block, undefined, void>,
  hash: Hash,
): Promise<PutBlob> {
  const id = await begin(connection)
  const patience = connection.patience()
  let size = 0
  try {
    for (let block = waiting.shift(); block; block = waiting.shift()) {
      // The next one is read and hashed while this one is on its way.
      const next = waiting.length > 0 ? undefined : blocks.next()
      next?.catch(() => {})
      await sendBlock(connection, id, size, block, patience)
      const read = await next
      if (read?.value) waiting.push(read.value)
      size += block.length
    }
    return await finish(connection, id, digestOf(hash), size)
  } catch (error) {
    await abandon(connection, id)
    throw error
  }
}

async function begin(connection: Connection): Promise<string> {
  const { headers } = await connection.ask({ method: 'POST', path: uploadPath() }, [202])
  return headers.location?.split('/').at(-1) ?? ''
}

async function sendBlock(
  connection: Connection,
  id: string,
  start: number,
  block: Block,
  patience: Patience,
): Promise<void> {
  const end = start + block.length
  let at = start
  while (at < end) {
    const before = at
    try {
      const headers = { [OFFSET_HEADER]: String(at) }
      const body = [...after(block.chunks, at - start)]
      at = await offsetAfter(connection, { method: 'PATCH', path: uploadPath(id), headers, body })
    } catch (error) {
      await patience.after(error)
      at = await offsetAfter(connection, { method: 'GET', path: uploadPath(id) }, patience)
    }
    if (at < start || at > end)
      throw lost(connection, `it is at byte ${at} of it, not between ${start} and ${end}`)
    if (at > before) patience.progressed()
  }
}

/** The chunks without their first `skip` bytes. */
function* after(chunks: readonly Uint8Array[], skip: number): Generator<Uint8Array> {
  for (const chunk of chunks) {
    if (skip < chunk.length) yield chunk.subarray(skip)
    skip = Math.max(0, skip - chunk.length)
  }
}

/** How far the server is after a request: tried once, or as often as `patience` lets it. */
async function offsetAfter(
  connection: Connection,
  request: HttpRequest,
  patience?: Patience,
): Promise<number> {
  const fine = [202, 204, 404, 416]
  const { status, headers } = patience
    ? await connection.ask(request, fine, patience)
    : await once(connection, request, fine)
  if (status === 404) throw lost(connection, 'it knows nothing of it')
  if (status === 416) throw new Passing('it is at another byte of the upload')
  return Number(headers[OFFSET_HEADER])
}

async function once(connection: Connection, request: HttpRequest, fine: readonly number[]) {
  const answer = await connection.open(request, fine)
  answer.body.resume()
  return answer
}

async function finish(connection: Connection, id: string, digest: Digest, size: number): Promise<PutBlob> {
  const answer = await connection.ask({ method: 'PUT', path: uploadPath(id, digest) }, [201, 404])
  if (answer.status === 201) return readStored(connection, answer)
  // A server that started again right after it had finished it has forgotten the upload, not the blob.
  if ((await sizeOf(connection, digest)) === size) return { digest, size, isNew: true }
  throw lost(connection, 'it knows nothing of it')
}

/** So that it takes no place until the server gives it up by itself; where this fails, that is what happens. */
async function abandon(connection: Connection, id: string): Promise<void> {
  await once(connection, { method: 'DELETE', path: uploadPath(id) }, [204, 404]).catch(() => {})
}

function readStored({ place }: Connection, { body }: Answer): PutBlob {
  const { data } = Stored.safeParse(parseJson(body))
  if (data) return data
  throw new WorkspaceError('STORE_UNAVAILABLE', `${place} does not say what it stored`, {
    expected: 'digest, size and isNew',
    found: body.toString().slice(0, 200),
    hint: 'look whether it is of the same version as the steps',
  })
}

function lost({ place }: Connection, why: string): WorkspaceError {
  return new WorkspaceError('STORE_UNAVAILABLE', `${place} has lost an upload that was under way: ${why}`, {
    expected: 'the bytes that it had acknowledged',
    found: why,
    hint: 'run the task again; a disk that survives the pod (a claim, not an emptyDir) keeps uploads',
  })
}
