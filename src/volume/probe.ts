/**
 * What one client can see of how the volume behaves. It is recorded once per kind of mount; whether locks
 * exclude across nodes no single client can see, so that stands as `unknown`.
 */
import { sha256 } from '../platform/hash.ts'
import { join } from 'node:path'
import { errno, toWorkspaceError, WorkspaceError } from '../errors.ts'
import type { Emit } from '../events.ts'
import { timestamp, wallNow } from '../platform/clock.ts'
import { anotherProcessCanLock, flock } from '../platform/flock.ts'
import * as fs from '../platform/fs.ts'
import { mountOf, type Mount } from '../platform/mounts.ts'
import { publishFile, temporaryBeside } from './publish.ts'
import type { Volume } from './volume.ts'

export interface Probe {
  v: 1
  at: string
  mount: Mount
  /** flock between two processes of this client. */
  flock: 'excludes' | 'does not exclude' | `fails: ${string}`
  /** link(2), symlink(2), O_EXCL and rename of a folder: whether a taken name is refused. */
  link: Exclusive
  symlink: Exclusive
  exclusiveCreate: Exclusive
  folderRename: Exclusive
  caseSensitive: boolean
  /** How far a new file's mtime is from this client's clock, in ms: near 0, the client may have stamped it. */
  timestampSkewMs: number
  freeBytes: number
  freeInodes: number
  /** Only a probe on two nodes can tell. */
  exclusionAcrossNodes: 'unknown'
}

type Exclusive = 'excludes' | 'does not exclude' | `fails: ${string}`

/**
 * Probes the volume where this kind of mount (type and options) has no record yet.
 * @throws WorkspaceError STORAGE_UNSAFE where names cannot be taken exclusively: everything rests on that.
 */
export async function probeOnce(volume: Volume, emit: Emit): Promise<void> {
  const mount = await mountOf(volume.layout.root)
  const key = sha256(`${mount.type} ${mount.options}`).slice(0, 16)
  const record = join(volume.layout.probes, `${key}.json`)
  if ((await fs.list(volume.layout.probes)).some((entry) => entry.name === `${key}.json`)) return
  await fs.mkdirp(volume.layout.probes)
  const probe = await probeVolume(volume, mount)
  refuseUnsafe(probe)
  if (await publishFile(record, JSON.stringify(probe, null, 2)))
    emit({ event: 'volume-probed', summary: summarise(probe) })
}

async function probeVolume(volume: Volume, mount: Mount): Promise<Probe> {
  const folder = temporaryBeside(join(volume.layout.probes, 'probe'))
  await fs.mkdir(folder)
  try {
    const { bavail, bsize, ffree } = await fs.statfs(folder)
    return {
      v: 1,
      at: timestamp(),
      mount,
      timestampSkewMs: await timestampSkew(folder),
      flock: await tellFlock(folder),
      link: await tell(() => exclusive(folder, 'link', (taken, fresh) => fs.link(fresh, taken))),
      symlink: await tell(() => exclusive(folder, 'symlink', (taken) => fs.symlink('content', taken))),
      exclusiveCreate: await tell(() =>
        exclusive(folder, 'create', async (taken) => (await fs.create(taken)).close()),
      ),
      folderRename: await tell(() => exclusiveFolder(folder)),
      caseSensitive: await caseSensitive(folder),
      freeBytes: bavail * bsize,
      freeInodes: ffree,
      exclusionAcrossNodes: 'unknown',
    }
  } finally {
    await fs.removeTree(folder)
  }
}

async function touch(path: string): Promise<void> {
  const handle = await fs.create(path)
  await handle.close()
}

async function timestampSkew(folder: string): Promise<number> {
  const path = join(folder, 'time')
  const handle = await fs.create(path)
  try {
    await fs.write(handle, Buffer.from('x'), path)
    await fs.sync(handle, path)
    return Math.round((await handle.stat()).mtimeMs - wallNow())
  } finally {
    await handle.close()
  }
}

async function tellFlock(folder: string): Promise<Probe['flock']> {
  return tell(async () => {
    const path = join(folder, 'lock')
    await touch(path)
    const handle = await fs.open(path, 'r+')
    try {
      if (!(await flock().tryLock(handle.fd, 'exclusive'))) return false
      return !(await anotherProcessCanLock(path))
    } finally {
      await handle.close()
    }
  })
}

/** Whether `take` refuses a name that is taken and accepts none. */
async function exclusive(
  folder: string,
  what: string,
  take: (taken: string, fresh: string) => Promise<void>,
): Promise<boolean> {
  const [taken, fresh] = [join(folder, `${what}-taken`), join(folder, `${what}-fresh`)]
  await touch(fresh)
  await take(taken, fresh)
  try {
    await take(taken, fresh)
    return false
  } catch (error) {
    if (errno(error) === 'EEXIST') return true
    throw error
  }
}

async function exclusiveFolder(folder: string): Promise<boolean> {
  const [taken, fresh] = [join(folder, 'folder-taken'), join(folder, 'folder-fresh')]
  for (const path of [taken, fresh]) {
    await fs.mkdir(path)
    await touch(join(path, 'content'))
  }
  try {
    await fs.rename(fresh, taken)
    return false
  } catch (error) {
    if (['EEXIST', 'ENOTEMPTY'].includes(errno(error) ?? '')) return true
    throw error
  }
}

async function caseSensitive(folder: string): Promise<boolean> {
  await touch(join(folder, 'case'))
  return !(await fs.stat(join(folder, 'CASE')).then(
    () => true,
    () => false,
  ))
}

async function tell(ask: () => Promise<boolean>): Promise<Exclusive> {
  try {
    return (await ask()) ? 'excludes' : 'does not exclude'
  } catch (error) {
    const { code, message } = toWorkspaceError(error)
    if (code === 'NO_SPACE' || code === 'NOT_WRITABLE') throw error
    return `fails: ${message}`
  }
}

function refuseUnsafe(probe: Probe): void {
  const needed = (['link', 'exclusiveCreate', 'folderRename'] as const).filter(
    (name) => probe[name] !== 'excludes',
  )
  // Where there are no symlinks, files take their place.
  const bad = probe.symlink === 'does not exclude' ? [...needed, 'symlink' as const] : needed
  if (bad.length === 0) return
  throw new WorkspaceError('STORAGE_UNSAFE', 'this volume cannot take names exclusively', {
    expected: 'link(2), symlink(2), O_EXCL and rename of a folder refuse a name that is taken',
    found: `${bad.map((name) => `${name} ${probe[name]}`).join('; ')} on ${probe.mount.type} (${probe.mount.options})`,
    hint: 'use CephFS, NFSv4.1 or another POSIX file system; some SMB and object-store mounts cannot do this',
  })
}

function summarise(probe: Probe): string {
  const gib = (probe.freeBytes / 2 ** 30).toFixed(1)
  return `${probe.mount.type}, flock ${probe.flock} on this node, across nodes ${probe.exclusionAcrossNodes}, ${gib} GiB free`
}
