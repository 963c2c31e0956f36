/** Looks over the volume: what there is that retention may decide on, as data for the plan. */
import { basename, join, relative } from 'node:path'
import { toWorkspaceError } from '../errors.ts'
import { wallNow } from '../platform/clock.ts'
import * as fs from '../platform/fs.ts'
import type { Verdict, Liveness } from '../volume/liveness.ts'
import { TEMPORARY } from '../volume/publish.ts'
import { readStatus } from '../volume/status.ts'
import { toolsInUse } from '../upgrades/index.ts'
import type { Volume } from '../volume/volume.ts'
import { BATCH } from '../stores/bring-back.ts'
import { archivedAt } from './archive.ts'
import { fileNow } from './file-clock.ts'
import { isOurs } from './is-ours.ts'
import { findLeftovers } from './leftovers.ts'
import { mark, type Mark } from './mark.ts'
import { measure } from './measure.ts'
import { byOutput, readOutput, type Output } from './outputs.ts'
import { readTrashed } from '../volume/trash.ts'

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
  outputs: Output[]
  templates: Thing[]
  /** Each with all entries of one key. */
  cache: Thing[]
  /** Each an installation that no fleet uses. */
  tools: Thing[]
  /** Consumers of fleets, with their folders. */
  consumers: Thing[]
  /** But for swept blobs: those are the mark's. */
  trash: Thing[]
  /** Temporary names that killed processes left. */
  leftovers: Thing[]
  /** Of what was stored, for whoever stores it again. */
  notes: Thing[]
  /** What could not be read: it stops retention for itself alone. */
  blocked: { path: string; why: string }[]
  mark: Mark
}

/**
 * @param askFrom the age in ms from which on it matters whether the run of an artifact is alive
 * @param now the clock of the mark
 */
export async function scanVolume(
  volume: Volume,
  asked: Liveness,
  askFrom: number,
  now = fileNow,
): Promise<Scan> {
  const { layout } = volume
  const liveness = askOnce(asked)
  const blocked: Scan['blocked'] = []
  const device = (await fs.stat(layout.root)).dev
  const attempt = async (path: string, work: () => Promise<void>): Promise<void> => {
    try {
      await work()
    } catch (error) {
      blocked.push({ path: relative(layout.root, path), why: toWorkspaceError(error).message })
    }
  }

  const list = async (folder: string): Promise<fs.Dirent[]> => {
    let entries: fs.Dirent[] = []
    await attempt(folder, async () => {
      entries = await fs.list(folder)
    })
    return entries
  }

  /** Each entry of a folder as `read` sees it; an entry that cannot be read is blocked, not the scan. */
  const each = async <T>(
    folder: string,
    read: (path: string) => Promise<T | T[] | undefined>,
  ): Promise<T[]> => {
    const found: T[] = []
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
  const outputs = async (seen: Mark): Promise<Output[]> => {
    const found: Output[] = []
    if (!(await isOurs(layout.root, layout.artifacts))) return found
    for (const [path, layouts] of byOutput(seen.layouts)) {
      await attempt(join(layout.root, path), async () => {
        const output = await readOutput(volume, seen, layouts, thing, liveness, askFrom)
        if (output) found.push(output)
      })
    }
    return found
  }

  /** Where a fleet cannot be read, it may use any of them. */
  const tools = async (): Promise<Thing[]> => {
    const found: Thing[] = []
    await attempt(layout.fleets, async () => {
      const used = await toolsInUse(layout)
      const unused = async (path: string): Promise<Thing[]> =>
        used.has(relative(layout.tools, path)) ? [] : each(path, lastUsed)
      found.push(...(await each(layout.tools, (name) => each(name, unused))))
    })
    return found
  }

  const notes = async (): Promise<Thing[]> => {
    const found: Thing[] = []
    for (const { name } of await list(layout.notes)) {
      // A temporary name may go at this moment.
      const note = await thing(join(layout.notes, name)).catch(() => undefined)
      if (note) found.push(note)
    }
    return found
  }

  const seen = await mark(volume, now)
  return {
    mark: seen,
    outputs: await outputs(seen),
    runs: await each(layout.pipelines, async (path) => {
      const { run, closed } = await readStatus(path)
      return { ...(await thing(path)), closed, verdict: await liveness(run) }
    }),
    completed: await each(layout.completed, (day) =>
      each(day, async (path) => thing(path, await archivedAt(path))),
    ),
    templates: await each(layout.templates, (name) => each(name, lastUsed)),
    // A use leaves something new in its folder.
    cache: await each(layout.cache, (scope) => each(scope, (key) => thing(key))),
    tools: await tools(),
    // Whoever is alive beats there.
    consumers: await each(layout.fleets, (fleet) => each(join(fleet, 'consumers'), (path) => thing(path))),
    trash: await each(layout.trash, (day) =>
      each(day, async (path) => {
        if (basename(path).startsWith(BATCH)) return undefined
        const note = await readTrashed(path)
        return thing(path, note && Date.parse(note.at))
      }),
    ),
    leftovers: await findLeftovers(volume, list, thing),
    notes: await notes(),
    blocked,
  }
}

/** Each owner is asked about once. */
function askOnce(liveness: Liveness): Liveness {
  const verdicts = new Map<string, Promise<Verdict>>()
  return (owner) => {
    const verdict = verdicts.get(owner.uid) ?? liveness(owner)
    verdicts.set(owner.uid, verdict)
    return verdict
  }
}
