/** What a download has to be: a digest, the line of a checksums file, or nothing, by name. */
import { WorkspaceError } from '../errors.ts'

export interface Checksum {
  /** 64 hexadecimal digits. */
  sha256?: string | undefined
  /** The text of a checksums file, or its URL. */
  checksums?: string | undefined
  /** The name of the tool whose checksum is waived. */
  waived?: string | undefined
}

/** @throws WorkspaceError USAGE where nothing tells what is expected, and that was not waived for `tool` */
export function requireChecksum({ sha256, checksums, waived }: Checksum, tool: string): void {
  const given = [sha256, checksums, waived].filter(Boolean).length
  if (given === 1 && (!waived || waived === tool)) return
  const why =
    given > 1
      ? 'more than one thing is said of'
      : waived
        ? `another tool's checksum is waived than`
        : 'there is no checksum for'
  throw new WorkspaceError('USAGE', `${why} ${tool}`, {
    expected: `sha256, or checksums, or waiveChecksum: ${tool}`,
    found: waived ? `waiveChecksum: ${waived}` : given > 1 ? 'several of them' : 'none of them',
    hint: 'give the sha256 that the publisher names; waive it only where whoever answers at the URL may run programs here',
  })
}
