/** One entry of a tar, as bytes that depend on the entry alone: no times, no owners. */
import type { SourceEntry } from './walk.ts'

/** Two empty blocks end a tar. */
export const TAR_END = Buffer.alloc(1024)
const BLOCK = 512
/** What ustar (pax(1)) has room for in a name, a prefix of the name, and a link's target. */
const [MAX_NAME, MAX_PREFIX, MAX_TARGET] = [100, 155, 100]

/** Bytes that `size` bytes of content take in a tar. */
export const padded = (size: number): number => Math.ceil(size / BLOCK) * BLOCK

/** What stands before an entry's content; long or non-ASCII names go into a pax header before the header proper. */
export function tarHeader(entry: SourceEntry): Buffer {
  const plain = ustar(entry.path, typeOf(entry), modeOf(entry), sizeOf(entry), targetOf(entry))
  if (plain) return plain
  const records = record('path', entry.path) + record('linkpath', targetOf(entry))
  const pax = Buffer.alloc(padded(Buffer.byteLength(records)))
  const length = pax.write(records)
  const target = targetOf(entry) && 'PaxHeader'
  const [before, proper] = [
    ustar('PaxHeader', 'x', modeOf(entry), length, target),
    ustar('PaxHeader', typeOf(entry), modeOf(entry), sizeOf(entry), target),
  ]
  return Buffer.concat([before ?? pax, pax, proper ?? pax])
}

const typeOf = ({ type }: SourceEntry): string => ({ file: '0', symlink: '2', dir: '5' })[type]
/** A folder without any permission stands as 0755, as it always has in format version 1; the index knows better. */
const modeOf = (entry: SourceEntry): number =>
  entry.type === 'symlink' ? 0o777 : entry.type === 'dir' ? entry.mode || 0o755 : entry.mode
const sizeOf = (entry: SourceEntry): number => (entry.type === 'file' ? entry.size : 0)
const targetOf = (entry: SourceEntry): string => (entry.type === 'symlink' ? entry.target : '')

/** A header block, or undefined where a name does not fit in. */
function ustar(path: string, type: string, mode: number, size: number, target: string): Buffer | undefined {
  const split = splitName(path)
  if (!split || Buffer.byteLength(target) > MAX_TARGET) return undefined
  const block = Buffer.alloc(BLOCK)
  const numbers = `${octal(mode, 6)}\0${ZERO}\0${ZERO}\0${octal(size, 11)}${octal(0, 11)}`
  // Its own place counts as blanks in the sum of all bytes.
  block.write(`${split.name.padEnd(100, '\0')}${numbers}        ${type}`, 'latin1')
  block.write(target, 157)
  block.write('ustar\x0000', 257, 'latin1')
  block.write(`${ZERO}\0${ZERO}\0${split.prefix}`, 329, 'latin1')
  let sum = 0
  for (let i = 0; i < BLOCK; i++) sum += block[i] ?? 0
  block.write(`${octal(sum, 6)}\0`, 148, 'latin1')
  return block
}

const octal = (value: number, digits: number): string => `${value.toString(8).padStart(digits, '0')} `
const ZERO = octal(0, 6)

/** The first folders of a long path go into the prefix. */
function splitName(path: string): { prefix: string; name: string } | undefined {
  if (Buffer.byteLength(path) !== path.length) return undefined
  let start = 0
  while (path.length - start > MAX_NAME) {
    const slash = path.indexOf('/', start)
    if (slash === -1) return undefined
    start = slash + 1
  }
  const prefix = path.slice(0, Math.max(0, start - 1))
  return prefix.length > MAX_PREFIX ? undefined : { prefix, name: path.slice(start) }
}

/** `<length> <key>=<value>\n`, where the length counts its own digits; nothing for an empty value. */
function record(key: string, value: string): string {
  if (value === '') return ''
  const rest = ` ${key}=${value}\n`
  const bytes = Buffer.byteLength(rest)
  let length = bytes + String(bytes).length
  length = bytes + String(length).length
  return length + rest
}
