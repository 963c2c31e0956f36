/** Looks over the volume: what there is that retention may decide on, as data for the plan. */
import { dirname, join, relative } from 'node:path'
import { errno, toWorkspaceError } from '../errors.ts'
import { wallNow } from '../platform/clock.ts'
import * as fs from '../platform/fs.ts'
import type { Verdict, Liveness } from '../volume/liveness.ts'
import { TEMPORARY } from '../volume/publish.ts'
import { readStatus } from '../volume/status.ts'
import type { Volume } from '../volume/volume.ts'
import { archivedAt } from './archive.ts'
import { measure } from './measure.ts'
import { readTrashed } from './trash.ts'

/** Something on the volume. Ages and quiet times in ms, by wall clocks: good for hours and days only. */
export interface Thing {
  /** Relative to the root. */
  path: string
  bytes: number
  /** Since the moment that its rule counts from. */
  ageMs: number
  /** Since anything in it was last written. */
  quietMs: number
}

export interface ActiveRun extends Thing {
  closed: boolean
  verdict: Verdict
}

export interface Scan {
  runs: ActiveRun[]
  completed: Thing[]
  templates: Thing[]
  cache: Thing[]
  trash: Thing[]
  /** Temporary names that killed processes left. */
  leftovers: Thing[]
  /** What could not be read: it stops retention for itself alone. */
  blocked: { path: string; why: string }[]
}

export async function scanVolume(volume: Volume, liveness: Liveness): Promise<Scan> {
  const { layout } = volume
  const blocked: Scan['blocked'] = []
  const device = (await fs.stat(layout.root)).dev

  /** Each entry of a folder as `read` sees it; an entry that cannot be read is blocked, not the scan. */
  const each = async <T>(
    folder: string,
    read: (path: string) => Promise<T | T[] | undefined>,
  ): Promise<T[]> => {
    const found: T[] = []
    const attempt = async (path: string, work: () => Promise<void>): Promise<void> => {
      try {
        await work()
      } catch (error) {
        blocked.push({ path: relative(layout.root, path), why: toWorkspaceError(error).message })
      }
    }
    await attempt(folder, async () => {
      if (!(await isOurs(layout.root, folder))) return
      for (const entry of await fs.list(folder)) {
        const path = join(folder, entry.name)
        if (!entry.isDirectory() || entry.name.startsWith(TEMPORARY)) continue
        await attempt(path, async () => {
          const thing = await read(path)
          if (thing !== undefined) found.push(...([thing].flat() as T[]))
        })
      }
    })
    return found
  }
  const thing = async (path: string, sinceMs?: number): Promise<Thing> => {
    const { bytes, newestMs } = await measure(path, { device })
    const now = wallNow()
    return {
      path: relative(layout.root, path),
      bytes,
      ageMs: now - (sinceMs ?? newestMs),
      quietMs: now - newestMs,
    }
  }
  const lastUsed = async (path: string): Promise<Thing> => thing(path, (await fs.lstat(path)).mtimeMs)

  return {
    runs: await each(layout.pipelines, async (path) => {
      const { run, closed } = await readStatus(path)
      return { ...(await thing(path)), closed, verdict: await liveness(run) }
    }),
    completed: await each(layout.completed, (day) =>
      each(day, async (path) => thing(path, await archivedAt(path))),
    ),
    templates: await each(layout.templates, (name) => each(name, lastUsed)),
    cache: await each(layout.cache, lastUsed),
    trash: await each(layout.trash, (day) =>
      each(day, async (path) => {
        const note = await readTrashed(path)
        return thing(path, note && Date.parse(note.at))
      }),
    ),
    leftovers: await leftovers(volume, thing),
    blocked,
  }
}

/** A symlink in the place of one of our folders, or of one above it, leads to what is not ours. */
async function isOurs(root: string, folder: string): Promise<boolean> {
  try {
    return (await fs.realpath(folder)) === join(await fs.realpath(root), relative(root, folder))
  } catch (error) {
    if (errno(error) === 'ENOENT') return false
    throw error
  }
}

async function leftovers(volume: Volume, thing: (path: string) => Promise<Thing>): Promise<Thing[]> {
  const found: Thing[] = []
  for (const place of await publishingPlaces(volume)) {
    for (const entry of await fs.list(place)) {
      if (!entry.name.startsWith(TEMPORARY)) continue
      // Its writer may finish with it at this moment.
      const one = await thing(join(place, entry.name)).catch(() => undefined)
      if (one) found.push(one)
    }
  }
  return found
}

/** The folders that temporary names are made in; those inside a run go when the run goes. */
async function publishingPlaces({ layout }: Volume): Promise<string[]> {
  const below = async (folder: string, depth: number): Promise<string[]> => {
    if (depth === 0) return [folder]
    const folders = (await fs.list(folder)).filter((entry) => entry.isDirectory())
    return (await Promise.all(folders.map(({ name }) => below(join(folder, name), depth - 1)))).flat()
  }
  return [
    layout.pipelines,
    join(layout.blobs, 'sha256'),
    layout.probes,
    dirname(layout.marker),
    ...(await below(layout.templates, 1)),
    // locks/<name>/events, and artifacts/<run>/<task>/<output>.
    ...(await below(layout.locks, 2)),
    ...(await below(layout.artifacts, 3)),
  ]
}
