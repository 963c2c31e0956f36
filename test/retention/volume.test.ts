import { mkdir, readdir, readFile, rename, symlink, utimes, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import type { Event } from '../../src/events.ts'
import type { Owner } from '../../src/identity.ts'
import { injectFault } from '../../src/platform/fs.ts'
import { archiveRun, findArchived } from '../../src/retention/archive.ts'
import { maintain as maintainVolume } from '../../src/retention/maintain.ts'
import type { Policy } from '../../src/retention/plan.ts'
import { moveToTrash, readTrashed } from '../../src/volume/trash.ts'
import { initRun } from '../../src/volume/init-run.ts'
import type { Liveness } from '../../src/volume/liveness.ts'
import { setStatus } from '../../src/volume/status.ts'
import { ensureVolume, type Volume } from '../../src/volume/volume.ts'
import { temporaryFolder } from '../support/folder.ts'

afterEach(() => injectFault(undefined))

const owner = (uid: string): Owner => ({ kind: 'PipelineRun', namespace: 'ns', name: `run-${uid}`, uid })
const gone: Liveness = () => Promise.resolve({ state: 'gone', evidence: 'it is finished' })
const now: Policy = {
  completedRetention: 0,
  staleTimeout: 0,
  templateRetention: 0,
  artifactRetention: 0,
  sweepAfter: 0,
  cacheRetention: 0,
  toolRetention: 0,
  trashRetention: 0,
  grace: 0,
}
const never = new AbortController().signal

async function volumeWith(...runs: string[]): Promise<Volume> {
  const volume = await ensureVolume(await temporaryFolder(), () => undefined)
  for (const uid of runs) {
    await initRun(volume, { run: owner(uid), agents: [] })
    await writeFile(join(volume.layout.content(uid), 'work'), 'x'.repeat(100))
  }
  return volume
}

async function maintain(volume: Volume, policy: Policy) {
  const events: Event[] = []
  const emit = (event: Event): void => void events.push(event)
  const request = { volume, policy, liveness: gone, emit, signal: never, scrubBytes: 0, dryRun: false }
  const done = await maintainVolume(request)
  const planned = events.filter((event) => event.event === 'retention-planned')
  const blocked = events
    .filter((event) => event.event === 'retention-blocked')
    .map(({ path, why }) => ({ path, why }))
  return { ...done, events, plan: { actions: planned, blocked } }
}

describe('archiving', () => {
  it('moves the run by its date, points its alias there, and finds it again', async () => {
    const volume = await volumeWith('u1')
    const path = await archiveRun(volume, 'u1')
    expect(path).toMatch(/completed\/\d{4}-\d\d-\d\d\/u1$/)
    expect(
      await readFile(join(volume.layout.byName('ns', 'run-u1'), 'workspace-content/work'), 'utf8'),
    ).toHaveLength(100)
    expect(await findArchived(volume, 'u1')).toBe(path)
    expect(await readdir(volume.layout.pipelines)).toEqual([])
  })

  it('goes on after being killed before the move', async () => {
    const volume = await volumeWith('u1')
    injectFault((operation) => {
      if (operation === 'rename') throw Object.assign(new Error('killed'), { code: 'EIO' })
    })
    await expect(archiveRun(volume, 'u1')).rejects.toThrow('killed')
    expect(await readdir(volume.layout.pipelines)).toEqual(['u1'])
    injectFault(undefined)
    expect(await archiveRun(volume, 'u1')).toContain('completed')
  })

  it('by two at once ends as one archive', async () => {
    const volume = await volumeWith('u1')
    const [a, b] = await Promise.all([archiveRun(volume, 'u1'), archiveRun(volume, 'u1')])
    expect(a).toBe(b)
  })
})

describe('trash', () => {
  it('says where it came from, and moving it back restores it', async () => {
    const volume = await volumeWith('u1')
    const place = await moveToTrash(volume, volume.layout.run('u1'), 'a test')
    const note = await readTrashed(place)
    expect(note).toMatchObject({ from: 'pipelines/u1', why: 'a test' })
    await rename(join(place, 'content'), join(volume.layout.root, note!.from))
    expect(await readFile(join(volume.layout.content('u1'), 'work'), 'utf8')).toHaveLength(100)
  })
})

describe('maintenance', () => {
  it('takes a finished run through completed and trash to nothing, one stage a time', async () => {
    const volume = await volumeWith('u1')
    await setStatus(volume.layout.run('u1'), undefined, {
      phase: 'Succeeded',
      message: '',
      by: 't',
      closed: true,
    })
    const first = await maintain(volume, now)
    expect(first.plan.actions.map((action) => action.action)).toEqual(['archive'])
    expect(first).toMatchObject({ removed: 0, freedBytes: 0 })
    const second = await maintain(volume, now)
    expect(second.plan.actions.map((action) => action.action)).toEqual(['trash'])
    const third = await maintain(volume, now)
    expect(third.plan.actions.map((action) => action.action)).toEqual(['purge'])
    expect(third.freedBytes).toBeGreaterThan(100)
    expect((await maintain(volume, now)).plan.actions).toEqual([])
  })

  it('uses templates and cache entries by their last use', async () => {
    const volume = await volumeWith()
    const template = join(volume.layout.template('t'), 'a'.repeat(64))
    await mkdir(template, { recursive: true })
    await mkdir(join(volume.layout.cache, 'scope/key'), { recursive: true })
    const old = Date.now() / 1000 - 5 * 86400
    await utimes(template, old, old)
    await utimes(join(volume.layout.cache, 'scope/key'), old, old)
    const policy = { ...now, templateRetention: 7 * 86.4e6, cacheRetention: 3 * 86.4e6 }
    expect((await maintain(volume, policy)).plan.actions.map((action) => action.path)).toEqual([
      'shared/cache/scope/key',
    ])
  })

  it('stops for the run that it cannot read, and goes on with the rest', async () => {
    const volume = await volumeWith('bad', 'good')
    injectFault((operation, path) => {
      if (operation === 'readdir' && path.includes('bad/workspace-content'))
        throw Object.assign(new Error('no'), { code: 'EIO' })
    })
    const { plan } = await maintain(volume, now)
    expect(plan.blocked).toEqual([{ path: 'pipelines/bad', why: 'no' }])
    expect(plan.actions.map((action) => action.path)).toEqual(['pipelines/good'])
  })

  it('names what it cannot move, and goes on', async () => {
    const volume = await volumeWith('bad', 'good')
    injectFault((operation, path) => {
      if (operation === 'rename' && path.endsWith('/bad'))
        throw Object.assign(new Error('no'), { code: 'EACCES' })
    })
    const { events } = await maintain(volume, now)
    expect(events).toContainEqual({ event: 'retention-blocked', path: 'pipelines/bad', why: 'no' })
    expect(await readdir(volume.layout.pipelines)).toEqual(['bad'])
  })

  it('collects what killed writers left, a day later', async () => {
    const volume = await volumeWith()
    const { layout } = volume
    const places = [
      'locks/l/events',
      'artifacts/r/t/o',
      'store/blobs/sha256',
      'pipelines',
      'shared/templates/t',
    ]
    const left = places.map((place) => `${place}/.tmp-0123456789ab`)
    left.push('tools/jq/1.8.1/.download-linux-amd64-0123456789abcdef')
    for (const path of left.map((name) => join(layout.root, name))) {
      await mkdir(dirname(path), { recursive: true })
      await writeFile(path, 'x')
      await utimes(path, 0, 0)
    }
    await writeFile(join(layout.root, 'pipelines/.tmp-ba9876543210'), 'at work')
    const { plan } = await maintain(volume, now)
    expect(plan.actions.map((action) => action.path).sort()).toEqual(left.sort())
    expect(await readdir(layout.pipelines)).toEqual(['.tmp-ba9876543210'])
  })

  it('never follows symlinks out of the volume', async () => {
    const volume = await volumeWith('u1')
    const outside = await temporaryFolder()
    await mkdir(join(outside, 'cache/precious'), { recursive: true })
    await symlink(outside, join(volume.layout.content('u1'), 'link'))
    await symlink(outside, join(volume.layout.root, 'shared'))
    for (let i = 0; i < 4; i++) await maintain(volume, now)
    expect(await readdir(join(outside, 'cache'))).toEqual(['precious'])
    expect(await readdir(volume.layout.pipelines)).toEqual([])
  })

  it('is stopped between two actions by SIGTERM', async () => {
    const volume = await volumeWith('u1', 'u2')
    const stop = new AbortController()
    const emit = (event: Event): void => {
      if (event.event === 'retention-done') stop.abort(new Error('stopped'))
    }
    const request = { volume, policy: now, liveness: gone, scrubBytes: 0, dryRun: false }
    await expect(maintainVolume({ ...request, emit, signal: stop.signal })).rejects.toThrow('stopped')
    expect(await readdir(volume.layout.pipelines)).toHaveLength(1)
  })
})
