import { execFileSync } from 'node:child_process'
import { appendFile, chmod, readdir, rename, symlink, utimes, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { toWorkspaceError } from '../../src/errors.ts'
import { assume } from '../../src/platform/files.ts'
import { injectFault } from '../../src/platform/fs.ts'
import {
  codeOf,
  collect,
  identity,
  makeTree,
  newFolder,
  newVolume,
  outputFolder,
  retrieve,
  store,
  temporaries,
} from './support.ts'

const RETRY = identity({ pod: 'pod-of-the-retry' })

describe('storing an output again', () => {
  it('changes nothing where the content is the same, whoever does it', async () => {
    const volume = await newVolume()
    const source = await makeTree({ file: 'same' })
    const first = await store(volume, source)
    await retrieve(volume, join(await newFolder(), 'target'))
    const { emit, events } = collect()
    expect(await store(volume, source, { emit, identity: RETRY })).toEqual(first)
    expect(events).toEqual([{ event: 'artifact-unchanged', uri: first.uri, digest: first.digest }])
    expect(await readdir(outputFolder(volume))).toEqual(['0.0', '0.1'])
  })

  it('keeps the first digest where only the umask differed', async () => {
    const volume = await newVolume()
    const source = await makeTree({ file: 'same' })
    const first = await store(volume, source)
    await chmod(join(source, 'file'), 0o600)
    expect((await store(volume, source)).digest).toBe(first.digest)
  })

  it('replaces it in a retry, until somebody has retrieved it', async () => {
    const volume = await newVolume()
    await store(volume, await makeTree({ file: 'first attempt' }))
    const second = await store(volume, await makeTree({ file: 'second attempt' }), { identity: RETRY })
    expect(await readdir(outputFolder(volume))).toEqual(['0.0', '0.1'])
    const target = join(await newFolder(), 'target')
    expect((await retrieve(volume, target)).artifacts[0]?.digest).toBe(second.digest)
    const third = store(volume, await makeTree({ file: 'third' }), { identity: identity({ pod: 'pod-3' }) })
    await expect(third).rejects.toMatchObject({
      code: 'ARTIFACT_EXISTS',
      message: expect.stringContaining('retrieved'),
    })
  })

  it('is an error from the same pod with other content', async () => {
    const volume = await newVolume()
    await store(volume, await makeTree({ file: 'one' }))
    await expect(store(volume, await makeTree({ file: 'two' }))).rejects.toMatchObject({
      code: 'ARTIFACT_EXISTS',
    })
    expect(await readdir(outputFolder(volume))).toEqual(['0.0'])
  })

  it('replaces anything with overwrite', async () => {
    const volume = await newVolume()
    await store(volume, await makeTree({ file: 'one' }))
    await retrieve(volume, join(await newFolder(), 'target'))
    const second = await store(volume, await makeTree({ file: 'two' }), { overwrite: true })
    const target = join(await newFolder(), 'target')
    expect((await retrieve(volume, target)).artifacts[0]?.digest).toBe(second.digest)
    expect(await readdir(outputFolder(volume))).toEqual(['0.0', '0.1', '0.2', '0.3'])
  })
})

describe('a source that cannot be stored faithfully', () => {
  /** The code that it is refused with; the volume stays as it was. */
  const refusal = async (source: string): Promise<unknown> => {
    const volume = await newVolume()
    const code = await codeOf(store(volume, source))
    expect(await readdir(volume.layout.root)).toEqual(['.shared-workspace'])
    return code
  }

  it('is refused where there is nothing', async () =>
    expect(await refusal(join(await newFolder(), 'missing'))).toBe('SOURCE_NOT_FOUND'))

  it.each(['/etc/passwd', '../outside', 'dir/../../outside', 'dir/up/../../../x'])(
    'is refused for a symlink to %s',
    async (link) =>
      expect(await refusal(await makeTree({ 'dir/up': null, bad: { link } }))).toBe('UNSAFE_PATH'),
  )

  it('is refused for a symlink that leads out only through another one', async () => {
    const source = await makeTree({ 'p/q/up': { link: '../..' }, bad: { link: 'p/q/up/../x' } })
    expect(await refusal(source)).toBe('UNSAFE_PATH')
  })

  it('keeps symlinks that stay inside, dangle or go in circles', async () => {
    const links = {
      'd/e/up': { link: '../../file' },
      gone: { link: 'nowhere' },
      loop: { link: 'loop' },
      round: { link: 'd/../file' },
    }
    const volume = await newVolume()
    await expect(store(volume, await makeTree({ file: 'x', ...links }))).resolves.toMatchObject({ files: 1 })
  })

  it.each(['4755', '2755', '1644'])('is refused for a file of mode %s', async (mode) => {
    const source = await makeTree({ file: 'x' })
    await chmod(join(source, 'file'), Number.parseInt(mode, 8))
    expect(await refusal(source)).toBe('UNSUPPORTED_FILE')
  })

  it('takes the setgid bit of a folder for a matter of the place', async () => {
    const source = await makeTree({ 'dir/file': 'x' })
    await chmod(join(source, 'dir'), 0o2755)
    await expect(store(await newVolume(), source)).resolves.toMatchObject({ files: 1 })
  })

  it('is refused for a path that is too long, and so is a target that makes one', async () => {
    const source = await newFolder()
    const name = 'n'.repeat(250)
    // No absolute path could name it, so it is made of two halves.
    const half = Array<string>(9).fill(name).join('/')
    await makeTree({ [half]: null, [`other/${half}`]: null }, source)
    await rename(join(source, 'other'), join(source, half, 'other'))
    const volume = await newVolume()
    expect(toWorkspaceError(await store(volume, source).catch((error: unknown) => error)).code).toBe(
      'UNSAFE_PATH',
    )
    expect(await readdir(volume.layout.root)).not.toContain('artifacts')

    await store(volume, await makeTree({ [Array(15).fill(name).join('/')]: 'deep' }))
    const target = join(await newFolder(), ...Array(3).fill(name))
    const retrieving = retrieve(volume, target).catch((error: unknown) => error)
    expect(toWorkspaceError(await retrieving)).toMatchObject({ code: 'UNSAFE_PATH' })
    expect(await readdir(join(target, '..'))).toEqual([])
  })

  it('is refused for a fifo, without waiting for its writer', async () => {
    const source = await newFolder()
    execFileSync('mkfifo', [join(source, 'fifo')])
    expect(await refusal(source)).toBe('UNSUPPORTED_FILE')
  })

  it('is refused for a socket', async () => {
    const source = await newFolder()
    const server = createServer()
    await new Promise<void>((resolve) => server.listen(join(source, 'socket'), resolve))
    expect(await refusal(source)).toBe('UNSUPPORTED_FILE')
    server.close()
  })

  it('is refused for a name or a symlink target that is not UTF-8', async () => {
    const named = await newFolder()
    await writeFile(Buffer.concat([Buffer.from(`${named}/bad-`), Buffer.from([0xff])]), 'x')
    expect(await refusal(named)).toBe('UNSUPPORTED_FILE')
    const linked = await newFolder()
    await symlink(Buffer.from([0xfe, 0x41]), join(linked, 'link'))
    expect(await refusal(linked)).toBe('UNSUPPORTED_FILE')
  })

  it('leaves out what a retrieval stages in it', async () => {
    const source = await makeTree({ '.tmp-0123456789ab/0': 'staged', '.tmp-mine': 'kept' })
    await expect(store(await newVolume(), source)).resolves.toMatchObject({ files: 1, bytes: 4 })
  })
})

describe.each([undefined, 'elsewhere'] as const)('a source (%s) that changes while it is stored', (place) => {
  beforeEach(() => assume(place))
  afterEach(() => {
    assume(undefined)
    injectFault(undefined)
  })

  type Change = (path: string) => Promise<void>

  /** The code of a store during which `change` happens; nothing is published. */
  const storing = async (size: number, when: string, change: Change): Promise<unknown> => {
    const volume = await newVolume()
    const source = await makeTree({ file: Buffer.alloc(size, 1), other: 'x' })
    const path = join(source, 'file')
    let reads = 0
    injectFault(async (operation, at) => {
      if (at === path && operation === when && reads++ === 0) await change(path)
    })
    const code = await codeOf(store(volume, source))
    injectFault(undefined)
    expect(await readdir(volume.layout.root)).not.toContain('artifacts')
    expect(await temporaries(volume.layout.root)).toEqual([])
    return code
  }
  const append = (path: string): Promise<void> => appendFile(path, 'more')
  const rewrite = async (path: string): Promise<void> => {
    await writeFile(path, Buffer.alloc(100, 2), { flag: 'r+' })
    await utimes(path, 1, 1)
  }
  const remove = async (path: string): Promise<void> => void execFileSync('rm', [path])
  const replace = async (path: string): Promise<void> => {
    await symlink('/etc/passwd', `${path}.new`)
    execFileSync('mv', ['-T', `${path}.new`, path])
  }

  it.each<[string, number, string, Change]>([
    ['a small file that grows', 100, 'read', append],
    ['an empty file that grows', 0, 'open', append],
    ['a large file that grows', 3_000_000, 'read', append],
    ['a file rewritten in place', 100, 'read', rewrite],
    ['a large file rewritten in place', 3_000_000, 'read', rewrite],
    ['a file that goes away', 100, 'open', remove],
    ['a file that becomes a symlink, which is not followed', 100, 'open', replace],
  ])('fails for %s', async (_, size, when, change) => {
    expect(await storing(size, when, change)).toBe('SOURCE_CHANGED')
  })
})

describe('storage that fails while an artifact is stored', () => {
  afterEach(() => injectFault(undefined))

  it.each([
    ['write', 'ENOSPC'],
    ['sync', 'EDQUOT'],
    ['link', 'EIO'],
    ['symlink', 'ENOSPC'],
    ['rename', 'EROFS'],
  ] as const)('%s with %s: nothing is published and no temporary name is left', async (broken, code) => {
    const volume = await newVolume()
    const source = await makeTree({ file: 'x', 'big.bin': Buffer.alloc(2_000_000) })
    injectFault((operation) => {
      if (operation === broken) throw Object.assign(new Error(code), { code })
    })
    await expect(store(volume, source)).rejects.toMatchObject({ code })
    injectFault(undefined)
    expect(await temporaries(volume.layout.root)).toEqual([])
    await expect(retrieve(volume, join(await newFolder(), 'target'))).rejects.toMatchObject({
      code: 'ARTIFACT_NOT_FOUND',
    })
    await expect(store(volume, source)).resolves.toMatchObject({ files: 2 })
  })

  it('ends at once when it is told to stop, and leaves nothing', async () => {
    const volume = await newVolume()
    const source = await makeTree({ 'big.bin': Buffer.alloc(8_000_000) })
    const stop = new AbortController()
    let writes = 0
    injectFault((operation) => {
      if (operation === 'write' && ++writes === 2) stop.abort(new Error('stopped'))
    })
    await expect(store(volume, source, { signal: stop.signal })).rejects.toThrow('stopped')
    expect(await temporaries(volume.layout.root)).toEqual([])
    expect(writes).toBeLessThan(5)
  })
})
