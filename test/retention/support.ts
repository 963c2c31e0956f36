/** Volumes with artifacts, and maintenance of them, for the tests of retention. */
import { lutimes, mkdir, readdir, readFile, rename, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { Event } from '../../src/events.ts'
import { maintain, type Maintained, type Maintenance } from '../../src/retention/maintain.ts'
import type { Policy } from '../../src/retention/plan.ts'
import { readTrashed } from '../../src/volume/trash.ts'
import type { Liveness } from '../../src/volume/liveness.ts'
import type { Volume } from '../../src/volume/volume.ts'

export const gone: Liveness = () => Promise.resolve({ state: 'gone', evidence: 'it is finished' })

const YEAR = 366 * 8.64e7

/** Keeps everything but blobs that nothing refers to. */
export const keep: Policy = {
  completedRetention: YEAR,
  staleTimeout: YEAR,
  artifactRetention: YEAR,
  templateRetention: YEAR,
  cacheRetention: YEAR,
  toolRetention: YEAR,
  trashRetention: YEAR,
  sweepAfter: 1,
  grace: 0,
}

export interface Told extends Maintained {
  events: Event[]
  /** The paths that each action was planned for. */
  planned: Record<string, string[]>
}

export async function clean(
  volume: Volume,
  policy: Partial<Policy> = {},
  more: Partial<Maintenance> = {},
): Promise<Told> {
  const events: Event[] = []
  const done = await maintain({
    volume,
    policy: { ...keep, ...policy },
    scrubBytes: 0,
    dryRun: false,
    liveness: gone,
    emit: (event) => void events.push(event),
    signal: new AbortController().signal,
    ...more,
  })
  // Ages are told by the times of files, which file systems round.
  await delay(12)
  const planned: Told['planned'] = {}
  for (const event of events)
    if (event.event === 'retention-planned') (planned[event.action] ??= []).push(event.path)
  return { ...done, events, planned }
}

/** The blobs in the store, by their hexadecimal names. */
export async function blobsOf({ layout }: Volume): Promise<string[]> {
  const names = await readdir(join(layout.blobs, 'sha256'))
  return names.filter((name) => !name.startsWith('.')).sort()
}

/** The places in trash. */
export async function trashOf({ layout }: Volume): Promise<string[]> {
  const days = await readdir(layout.trash).catch(() => [])
  const places = await Promise.all(
    days.map(async (day) =>
      (await readdir(join(layout.trash, day))).map((id) => join(layout.trash, day, id)),
    ),
  )
  return places.flat()
}

/** Swept blobs in trash. */
export async function sweptOf(volume: Volume): Promise<string[]> {
  const batches = (await trashOf(volume)).filter((place) => place.includes('/blobs-'))
  const found = await Promise.all(batches.map((batch) => readdir(join(batch, 'content')).catch(() => [])))
  return [...new Set(found.flat())].sort()
}

/** Moves what came from a path below `from` back out of trash, as a person does. */
export async function restore(volume: Volume, from: string): Promise<void> {
  for (const place of await trashOf(volume)) {
    const note = await readTrashed(place)
    if (!note?.from.startsWith(from)) continue
    const target = join(volume.layout.root, note.from)
    await mkdir(dirname(target), { recursive: true })
    await rename(join(place, 'content'), target)
  }
}

/** Makes everything below a folder old. */
export async function age(folder: string, days: number): Promise<void> {
  const seconds = Date.now() / 1000 - days * 86_400
  for (const name of await readdir(folder, { recursive: true }))
    await lutimes(join(folder, name), seconds, seconds)
  await lutimes(folder, seconds, seconds)
}

/** Changes one byte of a blob, and not its size. */
export async function damage({ layout }: Volume, hex: string): Promise<void> {
  const path = layout.blob(hex)
  const bytes = await readFile(path)
  bytes[0] = bytes[0]! ^ 1
  await writeFile(`${path}.damaged`, bytes)
  await rename(`${path}.damaged`, path)
}
