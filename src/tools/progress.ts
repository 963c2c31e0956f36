/**
 * How far a download is, for those who wait: `.download_in_progress.<platform>/` beside the installations, a folder
 * of entries of which the newest counts (volume/publish.ts). The epoch is the downloader's hold, so that what one that
 * was superseded still tells is not read.
 */
import { join } from 'node:path'
import * as z from '../zod.ts'
import { ignoreMissing } from '../errors.ts'
import { jitter, sleep } from '../platform/clock.ts'
import * as fs from '../platform/fs.ts'
import { listEntries, publishEntry, publishFile, TEMPORARY } from '../volume/publish.ts'
import { readJson } from '../volume/read-json.ts'
import type { ToolName, ToolPaths } from './layout.ts'

const Report = z.object({
  v: z.literal(1),
  /** Who downloads, for people. */
  by: z.string(),
  stage: z.enum(['downloading', 'unpacking']),
  from: z.string(),
  bytes: z.number(),
  total: z.exactOptional(z.number()),
  /** Bytes a second since the last report. */
  rate: z.number(),
})
export type Report = z.infer<typeof Report>

const folderOf = (paths: ToolPaths, { platform }: ToolName): string =>
  join(paths.version, `.download_in_progress.${platform}`)

/** Publishes what `report` says, again and again, until stopped; then nothing is left of it. */
export function startTelling(
  paths: ToolPaths,
  tool: ToolName,
  { epoch, everyMs }: { epoch: number; everyMs: number },
  report: () => Report,
): { stop(): Promise<void> } {
  const folder = folderOf(paths, tool)
  const stopping = new AbortController()
  const tell = async (): Promise<void> => {
    const text = JSON.stringify(report())
    await publishEntry(folder, epoch, (_, path) => publishFile(path, text))
    await prune(folder, epoch, 1)
  }
  const loop = (async () => {
    while (!stopping.signal.aborted) {
      // It is for others to read: what fails here fails for the download as well, and is told there.
      await tell().catch(() => undefined)
      await sleep(jitter(everyMs), stopping.signal).catch(() => undefined)
    }
  })()
  return {
    async stop() {
      stopping.abort()
      await loop
      await clear(folder, epoch).catch(() => undefined)
    },
  }
}

/** Removes what this epoch and earlier ones have left. */
async function clear(folder: string, epoch: number): Promise<void> {
  await prune(folder, epoch, 0)
  for (const { name } of await fs.list(folder))
    if (name.startsWith(TEMPORARY)) await fs.unlink(join(folder, name)).catch(ignoreMissing)
  await fs.removeFolder(folder)
}

/** Removes all entries up to this epoch but the newest `keep`. */
async function prune(folder: string, epoch: number, keep: number): Promise<void> {
  const old = (await listEntries(folder)).filter((entry) => entry.epoch <= epoch)
  for (const { name } of old.slice(0, old.length - keep))
    await fs.unlink(join(folder, name)).catch(ignoreMissing)
}

/** The newest report and the name of its entry, which changes with every report; undefined where there is none. */
export async function readReport(
  paths: ToolPaths,
  tool: ToolName,
): Promise<{ entry: string; report: Report | undefined } | undefined> {
  const folder = folderOf(paths, tool)
  const newest = (await listEntries(folder)).at(-1)
  if (!newest) return undefined
  // It may have been replaced since.
  const report = await readJson(join(folder, newest.name), Report).catch(() => undefined)
  return { entry: newest.name, report }
}
