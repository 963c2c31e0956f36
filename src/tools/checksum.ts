/** Which digest a download has to have, by a list if need be. */
import { posix } from 'node:path'
import { WorkspaceError } from '../errors.ts'
import { jitter, sleep } from '../platform/clock.ts'
import type { Checksum } from './require-checksum.ts'
import type { Tuning } from './tuning.ts'
import { bytesOf, Passing, Refused, shown, type Web } from './web.ts'

/** A list of all files of a release; more is no list. */
const MAX_BYTES = 1024 * 1024

/**
 * The digest that is expected, as 64 hexadecimal digits; undefined where it is waived.
 * @throws WorkspaceError SOURCE_UNREACHABLE; USAGE where the list does not tell; the signal's reason
 */
export async function expectedDigest(
  { sha256, checksums }: Checksum,
  urls: readonly URL[],
  { web, signal, tuning }: { web: Web; signal: AbortSignal; tuning: Tuning },
): Promise<string | undefined> {
  if (sha256) return sha256
  if (!checksums) return undefined
  const url = /^https?:\/\/\S+$/.test(checksums) ? URL.parse(checksums) : undefined
  const text = url ? await fetchText(url, web, signal, tuning) : checksums
  const names = new Set(urls.map(({ pathname }) => decodeURIComponent(posix.basename(pathname))))
  const found = new Set([...names].flatMap((name) => digestsIn(text, name)))
  const [digest] = found
  if (digest && found.size === 1) return digest
  throw new WorkspaceError('USAGE', 'the checksums do not tell what the download has to be', {
    expected: `one sha256 for ${[...names].join(', ')}`,
    found: found.size === 0 ? 'none' : [...found].join(', '),
    hint: 'look at checksums, or give the sha256',
  })
}

/** `<hex>  <name>`, `<hex> *<name>`, `SHA256 (<name>) = <hex>`, or a file of the digest alone. */
function digestsIn(text: string, name: string): string[] {
  const whole = /^\s*([0-9a-f]{64})\s*$/i.exec(text)
  if (whole) return [whole[1]!.toLowerCase()]
  return text.split('\n').flatMap((line) => {
    const [, hex, path] = /^([0-9a-f]{64})\s+\*?(\S.*?)\s*$/i.exec(line) ?? []
    const [, bsdPath, bsdHex] = /^SHA256 \((.+)\) = ([0-9a-f]{64})\s*$/i.exec(line) ?? []
    const digest = hex ?? bsdHex
    return digest && posix.basename(path ?? bsdPath ?? '') === name ? [digest.toLowerCase()] : []
  })
}

async function fetchText(url: URL, web: Web, signal: AbortSignal, tuning: Tuning): Promise<string> {
  for (let failed = 1; ; failed++) {
    try {
      return await readText(url, web, signal)
    } catch (error) {
      if (!(error instanceof Passing || error instanceof Refused)) throw error
      if (error instanceof Refused || failed >= tuning.tries) throw unreachable(url, error)
      await sleep(jitter(Math.max(tuning.retryMs * 2 ** (failed - 1), error.retryAfterMs)), signal)
    }
  }
}

async function readText(url: URL, web: Web, signal: AbortSignal): Promise<string> {
  const answer = await web.get(url, {}, signal)
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of bytesOf(answer, signal)) {
    bytes += chunk.length
    if (bytes > MAX_BYTES) throw new Refused(`more than ${MAX_BYTES} bytes`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString()
}

const unreachable = (url: URL, cause: Error): WorkspaceError =>
  new WorkspaceError('SOURCE_UNREACHABLE', 'the checksums cannot be had', {
    expected: `a list at ${shown(url)}`,
    found: cause.message,
    hint: 'look at the URL in checksums, or give the sha256',
    cause,
  })
