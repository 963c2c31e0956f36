/** What a mark leaves for the next: since when it has known each blob to be unreferenced. */
import { join } from 'node:path'
import * as z from '../zod.ts'
import { ignoreMissing } from '../errors.ts'
import { parseJson } from '../json.ts'
import * as fs from '../platform/fs.ts'
import { DIGEST } from '../stores/digest.ts'
import type { Digest } from '../stores/store.ts'
import type { Layout } from '../volume/layout.ts'
import { listEntries, publishEntry, publishFile } from '../volume/publish.ts'

/** The end of the first of the marks in a row that found a blob unreferenced, in ms of the volume's file clock. */
export type MarkRecord = Map<Digest, number>

const Since = z.object({ v: z.literal(1), since: z.record(z.string().check(z.regex(DIGEST)), z.number()) })

/** The newest record; an empty one where there is none that can be read, so that counting begins anew. */
export async function readRecord({ marks }: Layout): Promise<MarkRecord> {
  const newest = (await listEntries(marks)).at(-1)
  if (!newest) return new Map()
  // A collector beside this one may remove it for a newer one.
  const text = await fs.readFile(join(marks, newest.name)).catch((error: unknown) => {
    ignoreMissing(error)
    return ''
  })
  const parsed = Since.safeParse(parseJson(text))
  return new Map(parsed.success ? Object.entries(parsed.data.since) : [])
}

export async function writeRecord({ marks }: Layout, record: MarkRecord): Promise<void> {
  await replaceEntry(marks, JSON.stringify({ v: 1, since: Object.fromEntries(record) }))
}

/** Adds an entry with this text, and removes those below it: readers take the highest. */
export async function replaceEntry(folder: string, text: string): Promise<void> {
  await publishEntry(folder, 0, (_, path) => publishFile(path, text))
  for (const { name } of (await listEntries(folder)).slice(0, -1))
    await fs.unlink(join(folder, name)).catch(ignoreMissing)
}
