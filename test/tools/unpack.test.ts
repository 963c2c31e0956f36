import { execaSync } from 'execa'
import { lstat, readdir, readFile, readlink } from 'node:fs/promises'
import { join } from 'node:path'
import { gzipSync, zstdCompressSync } from 'node:zlib'
import { randomBytes } from 'node:crypto'
import { beforeEach, describe, expect, test } from 'vitest'
import type { FileServer } from '../support/file-server.ts'
import { newVolume } from '../locks/support.ts'
import type { Volume } from '../../src/volume/volume.ts'
import { verifyTool } from '../../src/tools/index.ts'
import { tar, zip, type TarEntry, type ZipEntry } from './archives.ts'
import { install, leftovers, program, server, type Installing } from './support.ts'

let volume: Volume
let files: FileServer
beforeEach(async () => {
  volume = await newVolume()
  files = await server()
})

const unpack = (name: string, archive: Buffer, recipe: Installing['recipe'] = {}) => {
  files.files.set(`/${name}`, archive)
  return install(volume, [`${files.url}/${name}`], archive, { recipe })
}

const DATA = randomBytes(300_000)
const TREE: TarEntry[] = [
  { name: 'pkg/', type: 'directory' },
  { name: 'pkg/bin/greet', mode: 0o755, content: program() },
  { name: 'pkg/bin/alias', type: 'symlink', linkname: '../lib/same' },
  { name: 'pkg/lib/data', mode: 0o600, content: DATA },
  { name: 'pkg/lib/same', type: 'link', linkname: 'pkg/bin/greet' },
  { name: 'pkg/empty/', type: 'directory' },
  { name: `pkg/${'long/'.repeat(40)}name`, content: 'ä' },
]
const hasXz = !execaSync('xz', ['--version'], { reject: false }).failed
const xz = (data: Buffer): Buffer =>
  Buffer.from(execaSync('xz', ['-0'], { input: data, encoding: 'buffer' }).stdout)

describe('an archive', () => {
  const kinds: [string, (data: Buffer) => Buffer][] = [
    ['tool.tar', (data) => data],
    ['tool.tgz', (data) => gzipSync(data)],
    [
      'tool.tar.gz',
      (data) => Buffer.concat([gzipSync(data.subarray(0, 5000)), gzipSync(data.subarray(5000))]),
    ],
    ['tool.tar.zst', (data) => zstdCompressSync(data)],
    ['pzstd.tar.zst', (data) => frames(data)],
    ...(hasXz ? [['tool.tar.xz', xz] as [string, (data: Buffer) => Buffer]] : []),
  ]
  test.for(kinds)('is unpacked: %s', async ([name, compress]) => {
    const { tool } = await unpack(name, compress(await tar(TREE)), { strip: 1 })
    const { content, bin } = tool.paths
    expect((await readdir(content)).sort()).toEqual(['bin', 'empty', 'lib', 'long'])
    expect(await readFile(join(content, 'lib/data'))).toEqual(DATA)
    expect(await readFile(join(content, 'long/'.repeat(40), 'name'), 'utf8')).toBe('ä')
    expect(await readlink(join(content, 'bin/alias'))).toBe('../lib/same')
    expect((await lstat(join(content, 'bin/greet'))).mode & 0o777).toBe(0o555)
    expect((await lstat(join(content, 'lib/data'))).mode & 0o777).toBe(0o444)
    expect(tool.marker.binaries).toEqual(['alias', 'greet'])
    expect(execaSync(join(bin, 'alias')).stdout).toBe('greet 1.0.0')
    await verifyTool(tool)
  })

  test('of several zstd frames keeps what stands between and behind them', async () => {
    const name = 'tool.tar.zst'
    await expect(unpack(name, frames(await tar(TREE)).subarray(0, -10), { strip: 1 })).rejects.toMatchObject({
      code: 'ARCHIVE_UNSAFE',
    })
  })

  test('may be a zip, whose programs can be named where it has no modes', async () => {
    const entries: ZipEntry[] = [
      { name: 'pkg/', mode: 0o040755 },
      { name: 'pkg/greet', content: program(), mode: 0 },
      { name: 'pkg/link', content: 'greet', mode: 0o120777 },
    ]
    const { tool } = await unpack('tool.zip', zip(entries), { strip: 1, binaries: ['greet'] })
    expect(execaSync(join(tool.paths.bin, 'greet')).stdout).toBe('greet 1.0.0')
    expect(await readlink(join(tool.paths.content, 'link'))).toBe('greet')
  })

  test('may be none: the download is the program, and is not copied', async () => {
    const { tool } = await unpack('anything', program())
    expect(execaSync(join(tool.paths.bin, 'greet')).stdout).toBe('greet 1.0.0')
    expect((await lstat(join(tool.paths.content, 'greet'))).nlink).toBe(1)
  })

  test.for([
    [
      'a verify command that fails',
      { verify: 'greet; echo sorry; exit 3' },
      /exit code 3\ngreet 1.0.0\nsorry/,
    ],
    ['a binary that is not there', { binaries: ['nowhere'] }, /greet/],
    ['one that is named twice', { binaries: ['greet', 'greet'] }, /greet twice/],
  ] as const)('is refused with %s', async ([, recipe, found]) => {
    await expect(
      unpack('greet', program(), { ...recipe, binaries: [...('binaries' in recipe ? recipe.binaries : [])] }),
    ).rejects.toMatchObject({
      code: 'TOOL_BROKEN',
      found: expect.stringMatching(found) as string,
    })
    expect(await leftovers(volume)).toEqual([])
  })

  test('is tried with its binaries first in PATH', async () => {
    await unpack('greet', program(), { verify: 'test "$(greet)" = "greet 1.0.0"' })
  })
})

/** As pzstd writes them: each frame after one to be skipped. */
function frames(data: Buffer): Buffer {
  const skipped = Buffer.from([0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 1, 2, 3, 4])
  const half = data.length >> 1
  const parts = [data.subarray(0, half), data.subarray(half)]
  return Buffer.concat(parts.flatMap((part) => [skipped, zstdCompressSync(part)]))
}

describe('a hostile archive is refused, and nothing of it is left', () => {
  const ok: TarEntry = { name: 'greet', mode: 0o755, content: program() }
  const hostile: [string, TarEntry[]][] = [
    ['a name that leads out', [ok, { name: '../evil', content: 'x' }]],
    ['one that leads out in the middle', [ok, { name: 'a/../../evil', content: 'x' }]],
    ['an absolute name', [ok, { name: '/tmp/evil', content: 'x' }]],
    ['a symlink that leads out', [ok, { name: 'link', type: 'symlink', linkname: '../../../../evil' }]],
    ['an absolute symlink', [ok, { name: 'link', type: 'symlink', linkname: '/etc/passwd' }]],
    [
      'symlinks that lead out together',
      [
        ok,
        { name: 'a/b', type: 'symlink', linkname: '..' },
        { name: 'c', type: 'symlink', linkname: 'a/b/../..' },
      ],
    ],
    [
      'a file through a symlink',
      [{ name: 'd', type: 'symlink', linkname: '/tmp' }, { name: 'd/evil', content: 'x' }, ok],
    ],
    [
      'a file through a symlink that stays inside',
      [
        { name: 'e/', type: 'directory' },
        { name: 'd', type: 'symlink', linkname: 'e' },
        { name: 'd/evil', content: 'x' },
        ok,
      ],
    ],
    ['a file over a symlink', [{ name: 'greet', type: 'symlink', linkname: 'x' }, ok]],
    ['a name twice', [ok, ok]],
    ['a file in a file', [ok, { name: 'greet/evil', content: 'x' }]],
    ['a hard link that leads out', [ok, { name: 'link', type: 'link', linkname: '../../../evil' }]],
    ['a hard link to what is not in it', [ok, { name: 'link', type: 'link', linkname: 'etc/passwd' }]],
    [
      'a hard link to a symlink',
      [ok, { name: 'l', type: 'symlink', linkname: 'greet' }, { name: 'h', type: 'link', linkname: 'l' }],
    ],
    ['a device', [ok, { name: 'dev', type: 'character-device', devmajor: 1, devminor: 3 }]],
    ['a block device', [ok, { name: 'dev', type: 'block-device' }]],
    ['a fifo', [ok, { name: 'fifo', type: 'fifo' }]],
    ['a setuid program', [ok, { name: 'su', mode: 0o4755, content: 'x' }]],
    ['a setgid program', [ok, { name: 'sg', mode: 0o2755, content: 'x' }]],
    ['a name that is too long', [ok, { name: 'n'.repeat(256), content: 'x' }]],
    ['a path that is too long', [ok, { name: `${'d/'.repeat(600)}x`, content: 'x' }]],
  ]
  test.for(hostile)('%s in a tar', async ([, entries]) => {
    await expect(unpack('tool.tar.gz', gzipSync(await tar(entries)))).rejects.toMatchObject({
      code: 'ARCHIVE_UNSAFE',
    })
    expect(await leftovers(volume)).toEqual([])
  })

  const zips: [string, ZipEntry[]][] = [
    ['a name that leads out', [{ name: '../evil', content: 'x' }]],
    ['a name with back slashes', [{ name: '..\\evil', content: 'x' }]],
    ['an absolute name', [{ name: '/evil', content: 'x' }]],
    ['a symlink that leads out', [{ name: 'l', content: '../../evil', mode: 0o120777 }]],
    ['a symlink of great length', [{ name: 'l', content: 'x/'.repeat(4000), mode: 0o120777 }]],
    ['a device', [{ name: 'd', mode: 0o020644 }]],
    ['a setuid program', [{ name: 's', content: 'x', mode: 0o104755 }]],
    ['a size that is not true', [{ name: 's', content: 'xxxx', claimed: 2 }]],
  ]
  test.for(zips)('%s in a zip', async ([, entries]) => {
    const archive = zip([{ name: 'greet', content: program(), mode: 0o100755 }, ...entries])
    await expect(unpack('tool.zip', archive)).rejects.toMatchObject({ code: 'ARCHIVE_UNSAFE' })
    expect(await leftovers(volume)).toEqual([])
  })

  test('a bomb: more than maxBytes, or too much of too little', async () => {
    const bomb = gzipSync(await tar([ok, { name: 'zeros', content: Buffer.alloc(5_000_000) }]))
    await expect(unpack('tool.tar.gz', bomb, { maxBytes: 1_000_000 })).rejects.toMatchObject({
      code: 'ARCHIVE_UNSAFE',
    })
    const great = gzipSync(await tar([ok, { name: 'zeros', content: Buffer.alloc(80_000_000) }]))
    await expect(unpack('tool.tar.gz', great, { maxBytes: 2 ** 40 })).rejects.toMatchObject({
      code: 'ARCHIVE_UNSAFE',
    })
    expect(await leftovers(volume)).toEqual([])
  })

  test.for([
    ['tool.tar.gz', randomBytes(1000)],
    ['tool.tar.zst', randomBytes(1000)],
    ['tool.tar.xz', randomBytes(1000)],
    ['tool.tar', randomBytes(2048)],
    ['tool.zip', randomBytes(1000)],
  ] as const)('what is no archive: %s', async ([name, bytes]) => {
    await expect(unpack(name, bytes)).rejects.toMatchObject({ code: 'ARCHIVE_UNSAFE' })
  })

  test('an archive that is cut short, wherever', async () => {
    const whole = gzipSync(await tar(TREE))
    for (const part of [0.1, 0.5, 0.99])
      await expect(unpack('t.tar.gz', whole.subarray(0, whole.length * part))).rejects.toMatchObject({
        code: 'ARCHIVE_UNSAFE',
      })
  })
})
