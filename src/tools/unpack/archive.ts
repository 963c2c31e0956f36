import type { Compression } from './decompress.ts'

export const ARCHIVES = ['auto', 'none', 'tar', 'tar.gz', 'tar.zst', 'tar.xz', 'zip'] as const
export type Archive = (typeof ARCHIVES)[number]

const BY_NAME: [RegExp, Exclude<Archive, 'auto'>][] = [
  [/\.(tar\.gz|tgz)$/i, 'tar.gz'],
  [/\.(tar\.zst|tzst)$/i, 'tar.zst'],
  [/\.(tar\.xz|txz)$/i, 'tar.xz'],
  [/\.tar$/i, 'tar'],
  [/\.zip$/i, 'zip'],
]

const COMPRESSION = { tar: 'none', 'tar.gz': 'gz', 'tar.zst': 'zst', 'tar.xz': 'xz' } as const

/** `tar` by its compression; with `auto` as the name says, so that a .jar is no zip. */
export function kindOf(archive: Archive, url: URL): 'plain' | 'zip' | Compression {
  const kind =
    archive === 'auto' ? (BY_NAME.find(([name]) => name.test(url.pathname))?.[1] ?? 'none') : archive
  if (kind === 'none') return 'plain'
  return kind === 'zip' ? 'zip' : COMPRESSION[kind]
}
