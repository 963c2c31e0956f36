import { join, relative } from 'node:path'
import * as z from '../zod.ts'
import { timestamp } from '../platform/clock.ts'
import * as fs from '../platform/fs.ts'
import { shortId } from '../platform/random.ts'
import { publishFile, publishFolder } from './publish.ts'
import { readJson } from './read-json.ts'
import type { Volume } from './volume.ts'

/** What stands beside `content` in the trash: moving `content` back to `from` restores it. */
export const Trashed = z.object({
  v: z.literal(1),
  /** Where it came from, relative to the root. */
  from: z.string(),
  why: z.string(),
  at: z.string(),
})
export type Trashed = z.infer<typeof Trashed>

/** Moves `path` to the trash. The note comes first, so that nothing lies there without where it came from. */
export async function moveToTrash(volume: Volume, path: string, why: string): Promise<string> {
  const place = await makePlace(volume, shortId(), path, why)
  await fs.rename(path, join(place, 'content'))
  await fs.syncFolder(place)
  return place
}

/** Makes a place in trash for what comes from `path`; it is never empty, nor without its note. */
export async function makePlace(volume: Volume, name: string, path: string, why: string): Promise<string> {
  const at = timestamp()
  const day = join(volume.layout.trash, at.slice(0, 10))
  const place = join(day, name)
  const from = relative(volume.layout.root, path)
  await fs.mkdirp(day)
  await publishFolder(place, async (folder) => {
    const note: Trashed = { v: 1, from, why, at }
    await publishFile(join(folder, 'trashed.json'), JSON.stringify(note, null, 2))
  })
  return place
}

/** The note of something in the trash. */
export async function readTrashed(place: string): Promise<Trashed | undefined> {
  return readJson(join(place, 'trashed.json'), Trashed)
}
