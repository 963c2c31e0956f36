/** Downloads a file from the first mirror that has it, going on with what is there already. */
import { WorkspaceError } from '../errors.ts'
import type { Emit } from '../events.ts'
import { jitter, monotonic, sleep } from '../platform/clock.ts'
import * as fs from '../platform/fs.ts'
import { hashFile } from '../platform/hash-file.ts'
import { sha256 } from '../platform/hash.ts'
import type { HttpAnswer } from '../platform/http-client.ts'
import { writeAt } from '../platform/write-at.ts'
import { mirrorsFailed, type MirrorFailure } from './failures.ts'
import type { Origin, Partial } from './partial.ts'
import type { Tuning } from './tuning.ts'
import { bytesOf, Passing, Refused, shown, type Web } from './web.ts'

export interface DownloadRequest {
  /** Mirrors of one file, in the order in which they are tried. */
  urls: readonly URL[]
  /** 64 hexadecimal digits; undefined where that was waived. */
  sha256: string | undefined
  partial: Partial
  /** A longer file is refused. */
  maxBytes: number
  web: Web
  /** Whose log lines these are, and of what. */
  told: { consumer: string; tool: string }
  /** Called before a write after a standstill: throws where another may be writing by now. */
  mayWrite: () => Promise<void>
  emit: Emit
  signal: AbortSignal
  tuning: Tuning
}

/** How far it is, for others to be told. */
export interface Progress {
  /** Of the file. */
  bytes: number
  total: number | undefined
  /** Bytes that this process has fetched, over all tries. */
  fetched: number
  from: string
}

export interface Downloaded {
  /** The mirror that the last of it came from. */
  url: URL
  /** `sha256:<hex>` */
  digest: string
  bytes: number
}

/**
 * Fills `partial.content`, and tells in `progress` how far it is. What another process has left there is not fetched
 * again where the server can go on from there.
 * @throws WorkspaceError SOURCE_UNREACHABLE, DIGEST_MISMATCH, ARCHIVE_UNSAFE for a file over `maxBytes`; what the
 *   volume says; the signal's reason
 */
export async function download(request: DownloadRequest, progress: Progress): Promise<Downloaded> {
  const failures: MirrorFailure[] = []
  for (const url of request.urls) {
    progress.from = shown(url)
    try {
      return await fromMirror(request, url, progress)
    } catch (error) {
      if (!(error instanceof Refused) && !(error instanceof WrongContent)) throw error
      failures.push({ url: shown(url), why: error.message, wrongContent: error instanceof WrongContent })
    }
  }
  throw mirrorsFailed(failures, request.sha256)
}

/** Whole, and not what was expected. */
class WrongContent extends Error {}

async function fromMirror(request: DownloadRequest, url: URL, progress: Progress): Promise<Downloaded> {
  for (let mayBePieced = true; ; mayBePieced = false) {
    const wasThere = (await request.partial.read())?.size ?? 0
    const requests = await fetchAll(request, url, progress)
    // As it is on the volume now, whoever has written it.
    const { sha256: digest, size: bytes } = await hashFile(request.partial.content, request.signal)
    if (request.sha256 === undefined || request.sha256 === digest)
      return { url, digest: `sha256:${digest}`, bytes }
    await request.partial.discard()
    // What was put together may be wrong by a crash, another mirror or a change on the server: once more, from anew.
    if (!mayBePieced || (wasThere === 0 && requests === 1)) throw new WrongContent(`sha256:${digest}`)
  }
}

/** Asks until all of it is there, or the mirror fails too often without giving a byte. @returns how often it asked */
async function fetchAll(request: DownloadRequest, url: URL, progress: Progress): Promise<number> {
  const { tuning, signal, emit, told } = request
  let failed = 0
  for (let requests = 1; ; requests++) {
    const before = progress.fetched
    try {
      await fetchRest(request, url, progress)
      return requests
    } catch (error) {
      if (!(error instanceof Passing)) throw error
      failed = progress.fetched > before ? 1 : failed + 1
      if (failed >= tuning.tries) throw new Refused(`${error.message} (asked ${failed} times)`)
      const waitMs = Math.round(jitter(Math.max(tuning.retryMs * 2 ** (failed - 1), error.retryAfterMs)))
      emit({ event: 'tool-retry', ...told, url: shown(url), why: error.message, waitMs })
      await sleep(waitMs, signal)
    }
  }
}

/** One answer, written behind what is there. */
async function fetchRest(request: DownloadRequest, url: URL, progress: Progress): Promise<void> {
  const { partial, signal, maxBytes } = request
  const there = await partial.read()
  const resume = there && there.size > 0 && mayResume(request, url, there.origin) ? there : undefined
  if (resume && resume.size === resume.origin.total) return
  const answer = await request.web.get(url, rangeOf(url, resume), signal)
  try {
    const [at, total] = placeOf(answer, url, resume) ?? (await startOver(request, url, answer))
    Object.assign(progress, { bytes: at, total })
    if (total !== undefined && total > maxBytes) throw tooLarge(total, maxBytes)
    await write(request, answer, progress)
    if (total !== undefined && progress.bytes < total)
      throw new Passing(`the connection ended after ${progress.bytes} of ${total} bytes`)
  } finally {
    answer.body.destroy()
  }
}

/** With a digest, all mirrors have the same bytes or are found out; without one, only an unchanged file goes on. */
const mayResume = ({ sha256: expected }: DownloadRequest, url: URL, origin: Origin): boolean =>
  expected !== undefined || (origin.url === sha256(url.href) && validatorOf(origin) !== undefined)

/** What If-Range takes: a weak ETag does not say that the bytes are the same. */
const validatorOf = ({ etag, lastModified }: Origin): string | undefined =>
  etag && !etag.startsWith('W/') ? etag : lastModified

/** As the bytes are, not compressed for the way: their number and digest are known so. */
function rangeOf(url: URL, resume: { origin: Origin; size: number } | undefined): Record<string, string> {
  const headers: Record<string, string> = { 'accept-encoding': 'identity' }
  if (!resume) return headers
  const validator = resume.origin.url === sha256(url.href) ? validatorOf(resume.origin) : undefined
  return {
    ...headers,
    range: `bytes=${resume.size}-`,
    ...(validator ? { 'if-range': validator } : {}),
  }
}

/** Where the answer's body goes on, and the size of the whole; undefined where it begins anew. */
function placeOf(
  { status, headers }: HttpAnswer,
  url: URL,
  resume: { origin: Origin; size: number } | undefined,
): [at: number, total: number | undefined] | undefined {
  if (status !== 206 || !resume) return undefined
  const { etag } = resume.origin
  // A server that does not know If-Range goes on with another file.
  if (etag && headers.etag && etag !== headers.etag && resume.origin.url === sha256(url.href))
    return undefined
  const [, start, total] = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(headers['content-range'] ?? '') ?? []
  const known = total && total !== '*' ? Number(total) : undefined
  const fits = Number(start) === resume.size && (resume.origin.total ?? known) === known
  return fits ? [resume.size, known] : undefined
}

/** Empties the partial file. @throws Passing where the answer does not begin at the file's beginning */
async function startOver(
  { partial }: DownloadRequest,
  url: URL,
  { status, headers }: HttpAnswer,
): Promise<[at: number, total: number | undefined]> {
  if (status !== 200) {
    await partial.discard()
    throw new Passing(`the file has changed, or cannot be gone on with (status ${status})`)
  }
  const { etag, 'last-modified': lastModified } = headers
  const length = headers['content-length']
  const total = length === undefined ? undefined : Number(length)
  await partial.begin({
    v: 1,
    url: sha256(url.href),
    ...(etag ? { etag } : {}),
    ...(lastModified ? { lastModified } : {}),
    ...(total === undefined ? {} : { total }),
  })
  return [0, total]
}

async function write(request: DownloadRequest, answer: HttpAnswer, progress: Progress): Promise<void> {
  const { partial, signal, maxBytes, mayWrite, tuning } = request
  const handle = await fs.open(partial.content, 'r+')
  let wroteAt = monotonic()
  try {
    for await (const chunk of bytesOf(answer, signal)) {
      if (monotonic() - wroteAt > tuning.stoodMs) await mayWrite()
      await writeAt(handle, partial.content, progress.bytes, chunk)
      wroteAt = monotonic()
      progress.bytes += chunk.length
      progress.fetched += chunk.length
      if (progress.bytes > maxBytes) throw tooLarge(progress.bytes, maxBytes)
    }
  } finally {
    await handle.close()
  }
}

const tooLarge = (bytes: number, maxBytes: number): WorkspaceError =>
  new WorkspaceError('ARCHIVE_UNSAFE', 'what is to be downloaded is larger than it may be', {
    expected: `at most ${maxBytes} bytes, as maxBytes says`,
    found: `${bytes} bytes`,
    hint: 'look at the URL; raise maxBytes if it is right',
  })
