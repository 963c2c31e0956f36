import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { open, writeFile, type FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import {
  anotherProcessCanLock,
  flock,
  fsExtFlock,
  utilLinuxFlock,
  type Flock,
} from '../../src/platform/flock.ts'
import { temporaryFolder } from '../support/folder.ts'

// Where the addon could not be compiled, the other way is the product's only one.
const addon = fsExtFlock()
const ways: [string, Flock][] = [
  ...(addon ? [['fs-ext', addon] as [string, Flock]] : []),
  ['util-linux', utilLinuxFlock()],
]

/** A process that holds an flock by util-linux, whoever is tested. */
async function otherProcess(path: string, how: '--exclusive' | '--shared') {
  const child = spawn('flock', [how, path, 'sh', '-c', 'echo held; exec sleep 60'], {
    stdio: ['ignore', 'pipe', 'inherit'],
    detached: true,
  })
  await once(child.stdout, 'data')
  const kill = async (): Promise<void> => {
    process.kill(-child.pid!, 'SIGKILL')
    await once(child, 'exit')
  }
  return { kill }
}

describe.for(ways)('flock by %s', ([name, way]) => {
  const tryLock: Flock['tryLock'] = (fd, mode) => way.tryLock(fd, mode)
  const unlock: Flock['unlock'] = (fd) => way.unlock(fd)
  const file = async (): Promise<string> => {
    const path = join(await temporaryFolder(), 'guard')
    await writeFile(path, '')
    return path
  }
  const opened = async (path: string, flags = 'r+'): Promise<FileHandle> => {
    const handle = await open(path, flags)
    onTestFinished(() => handle.close().catch(() => {}))
    return handle
  }

  test('says which way it goes', () => {
    expect(way?.by).toBe(name)
  })

  test('excludes another open file, until it is unlocked', async () => {
    const path = await file()
    const [a, b] = [await opened(path), await opened(path)]
    expect(await tryLock(a.fd, 'exclusive')).toBe(true)
    expect(await tryLock(b.fd, 'exclusive')).toBe(false)
    expect(await tryLock(b.fd, 'shared')).toBe(false)
    await unlock(a.fd)
    expect(await tryLock(b.fd, 'exclusive')).toBe(true)
    expect(await tryLock(a.fd, 'exclusive')).toBe(false)
  })

  test('ends when the file is closed', async () => {
    const path = await file()
    const [a, b] = [await opened(path), await opened(path)]
    expect(await tryLock(a.fd, 'exclusive')).toBe(true)
    await a.close()
    expect(await tryLock(b.fd, 'exclusive')).toBe(true)
  })

  test('lets shared ones in together, and keeps exclusive ones out', async () => {
    const path = await file()
    const [a, b, c] = [await opened(path), await opened(path), await opened(path)]
    expect(await tryLock(a.fd, 'shared')).toBe(true)
    expect(await tryLock(b.fd, 'shared')).toBe(true)
    expect(await tryLock(c.fd, 'exclusive')).toBe(false)
    await unlock(a.fd)
    await unlock(b.fd)
    expect(await tryLock(c.fd, 'exclusive')).toBe(true)
  })

  test('taken again by the same open file changes nothing', async () => {
    const path = await file()
    const [a, b] = [await opened(path), await opened(path)]
    expect(await tryLock(a.fd, 'exclusive')).toBe(true)
    expect(await tryLock(a.fd, 'exclusive')).toBe(true)
    await unlock(a.fd)
    expect(await tryLock(b.fd, 'exclusive')).toBe(true)
  })

  test('excludes another process, until it is killed', async () => {
    const path = await file()
    const handle = await opened(path)
    const other = await otherProcess(path, '--exclusive')
    expect(await tryLock(handle.fd, 'exclusive')).toBe(false)
    await other.kill()
    // What it had started with the file open may take a moment longer to go.
    await expect.poll(() => tryLock(handle.fd, 'exclusive'), { timeout: 10_000 }).toBe(true)
  })

  test('shares with another process', async () => {
    const path = await file()
    const handle = await opened(path)
    const other = await otherProcess(path, '--shared')
    expect(await tryLock(handle.fd, 'exclusive')).toBe(false)
    expect(await tryLock(handle.fd, 'shared')).toBe(true)
    await other.kill()
  })

  test('is seen by another process', async () => {
    const path = await file()
    const handle = await opened(path)
    expect(await tryLock(handle.fd, 'exclusive')).toBe(true)
    expect(await anotherProcessCanLock(path)).toBe(false)
    await unlock(handle.fd)
    expect(await anotherProcessCanLock(path)).toBe(true)
  })

  test('outlives its process in a child that inherited the file', async () => {
    const path = await file()
    const [held, other] = [await opened(path), await opened(path)]
    expect(await tryLock(held.fd, 'exclusive')).toBe(true)
    const child = spawn('sleep', ['60'], { stdio: ['ignore', 'ignore', 'ignore', held.fd] })
    await once(child, 'spawn')
    await held.close()
    expect(await tryLock(other.fd, 'exclusive')).toBe(false)
    child.kill('SIGKILL')
    await once(child, 'exit')
    expect(await tryLock(other.fd, 'exclusive')).toBe(true)
  })

  test('of a descriptor that is not open is an error, not an answer', async () => {
    await expect(tryLock(9_999, 'exclusive')).rejects.toThrow(/EBADF|flock ended/)
  })

  test('excludes the other way', async () => {
    const path = await file()
    const [a, b] = [await opened(path), await opened(path)]
    expect(await tryLock(a.fd, 'exclusive')).toBe(true)
    for (const [, another] of ways) expect(await another.tryLock(b.fd, 'exclusive')).toBe(false)
  })
})

test('the addon is preferred where it is there', () => {
  expect(flock().by).toBe(fsExtFlock() ? 'fs-ext' : 'util-linux')
})
