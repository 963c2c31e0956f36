import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { execa } from 'execa'
import { describe, expect, test } from 'vitest'
import { retrieveArtifacts } from '../../src/artifacts/index.ts'
import { fenceOf, volumeLocks } from '../../src/locks/index.ts'
import { findArchived } from '../../src/retention/archive.ts'
import { opened } from '../../src/stores/open.ts'
import { volumeArtifacts } from '../../src/stores/volume-artifacts.ts'
import { readPointer } from '../../src/volume/fence.ts'
import { writeRunFile } from '../../src/volume/status.ts'
import type { Volume } from '../../src/volume/volume.ts'
import { pointerOf, publish, type FencedOptions } from './fenced-worker.ts'
import { actor, fakeLiveness, identityOf, LOCK, newVolume, until } from './support.ts'

const WORKER = join(import.meta.dirname, 'fenced-worker.ts')

async function scene() {
  const volume = await newVolume()
  for (const text of ['old', 'new']) {
    await mkdir(join(volume.layout.root, text))
    await writeFile(join(volume.layout.root, text, 'file'), text)
  }
  const liveness = fakeLiveness()
  const successor = actor(volume, liveness, identityOf('new', 'deploy'))
  const start = (options: Omit<FencedOptions, 'root' | 'run' | 'text'>) => {
    const all: FencedOptions = { root: volume.layout.root, run: 'old', text: 'old', ...options }
    return execa('node', [WORKER, JSON.stringify(all)], { reject: false, timeout: 50_000 })
  }
  return { volume, successor, start }
}

const isStopped = async (pid: number): Promise<boolean> => {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '')
  return stat.split(') ')[1]?.startsWith('T') ?? false
}

const readers: Record<FencedOptions['what'], (volume: Volume) => Promise<string | undefined>> = {
  pointer: async (volume) => (await readPointer(pointerOf(volume)))?.toString(),
  artifact: async (volume) => {
    const target = join(volume.layout.root, 'target')
    await retrieveArtifacts({
      stores: [opened(volumeArtifacts(volume))],
      target,
      identity: identityOf('shop', 'use'),
      artifacts: ['build/out'],
      run: '',
      files: [],
      strip: 0,
      conflicts: 'fail',
      optional: false,
      emit: () => {},
      signal: new AbortController().signal,
    })
    return readFile(join(target, 'file'), 'utf8')
  },
  archive: (volume) => findArchived(volume, 'uid-of-old'),
}

describe('a holder that stands still for longer than its ttl', () => {
  test.for([
    // Before its first look at the pointer, its first entry, and its own.
    ['pointer', 'mkdir /pointer'],
    ['pointer', 'link /pointer/1.0'],
    ['pointer', 'link /pointer/1.1'],
    ['artifact', 'link /build/out/1.0'],
    ['artifact', 'rename /build/out/1.1'],
  ] as const)('changes nothing that readers of the %s see: %s', async ([what, stopBefore]) => {
    const { volume, successor, start } = await scene()
    const old = start({ what, stopBefore })
    await until(() => isStopped(old.pid!), 'the holder to stand still')
    const held = await successor.acquire()
    if (!held.acquired) throw new Error('held by nobody')
    expect(successor.events).toContainEqual(
      expect.objectContaining({
        event: 'lock-taken-over',
        evidence: expect.stringContaining('no heartbeat'),
      }),
    )
    const fence = fenceOf(volumeLocks(volume), { lock: LOCK, epoch: held.epoch })
    await publish(volume, { root: '', what, run: 'new', text: 'new' }, fence)
    old.kill('SIGCONT')
    expect((await old).stdout).toBe('STALE_LOCK')
    expect(await readers[what](volume)).toBe('new')
  })

  test('does not archive a run', async () => {
    const { volume, successor, start } = await scene()
    const folder = volume.layout.run('uid-of-old')
    await mkdir(join(folder, 'metadata'), { recursive: true })
    await writeRunFile(folder, identityOf('old', 'deploy').run)
    const old = start({ what: 'archive', stopBefore: 'link /metadata/archived.json' })
    await until(() => isStopped(old.pid!), 'the holder to stand still')
    await successor.acquire()
    old.kill('SIGCONT')
    expect((await old).stdout).toBe('STALE_LOCK')
    expect(await readers.archive(volume)).toBeUndefined()
  })
})

test('a holder that does not stand still publishes', async () => {
  for (const what of ['pointer', 'artifact'] as const) {
    const { volume, start } = await scene()
    expect((await start({ what })).stdout).toBe('published')
    expect(await readers[what](volume)).toBe('old')
  }
})

describe('a fence', () => {
  test('is over with its hold', async () => {
    const { volume, successor } = await scene()
    await successor.acquire()
    const fence = fenceOf(volumeLocks(volume), { lock: LOCK, epoch: 1 })
    await fence.check()
    await successor.release()
    await expect(fence.check()).rejects.toMatchObject({
      code: 'STALE_LOCK',
      found: expect.stringContaining('released'),
    })
  })

  test('is none where others hold the lock as well', async () => {
    const { volume, successor } = await scene()
    await successor.acquire({ mode: 'shared' })
    const fence = fenceOf(volumeLocks(volume), { lock: LOCK, epoch: 1 })
    await expect(fence.check()).rejects.toMatchObject({ code: 'USAGE', found: 'shared' })
  })
})
