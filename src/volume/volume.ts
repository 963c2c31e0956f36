/** The volume and its marker: nothing is ever deleted under a root that has none. */
import { dirname } from 'node:path'
import * as z from '../zod.ts'
import { errno, WorkspaceError } from '../errors.ts'
import type { Emit } from '../events.ts'
import { timestamp } from '../platform/clock.ts'
import * as fs from '../platform/fs.ts'
import { uuid } from '../platform/random.ts'
import { layoutOf, type Layout } from './layout.ts'
import { publishFile } from './publish.ts'
import { readJson } from './read-json.ts'

/** What this version reads and writes. */
export const FORMAT = 1

const Marker = z.object({
  format: z.number(),
  /** The lowest format version that may read, and that may write, this volume. */
  minReader: z.number(),
  minWriter: z.number(),
  volumeId: z.string(),
  createdAt: z.string(),
})

export interface Volume {
  id: string
  layout: Layout
}

/**
 * Opens an initialised volume.
 * @throws WorkspaceError STORAGE_NOT_MOUNTED where there is no marker, FORMAT_UNSUPPORTED for another format.
 */
export async function openVolume(root: string): Promise<Volume> {
  const layout = layoutOf(root)
  const marker = await readMarker(layout)
  if (marker) return { id: marker.volumeId, layout }
  throw new WorkspaceError('STORAGE_NOT_MOUNTED', `there is no shared workspace at ${root}`, {
    expected: 'a volume with .shared-workspace/format.json',
    found: (await isFolder(root)) ? 'a folder without it' : 'no folder',
    hint: 'run workspace-init first, and look whether the right claim is mounted',
  })
}

/** Opens the volume, making its marker first where it has none. Safe for any number of callers at once. */
export async function ensureVolume(root: string, emit: Emit): Promise<Volume> {
  const layout = layoutOf(root)
  if (!(await isFolder(root))) {
    throw new WorkspaceError('STORAGE_NOT_MOUNTED', `there is no folder at ${root}`, {
      expected: 'the path where the shared volume is mounted',
      found: 'nothing, or not a folder',
      hint: 'bind the workspace to a claim, or create the folder for a local run',
    })
  }
  if (!(await readMarker(layout))) {
    await fs.mkdirp(dirname(layout.marker))
    const marker = { format: FORMAT, minReader: 1, minWriter: 1, volumeId: uuid(), createdAt: timestamp() }
    if (await publishFile(layout.marker, JSON.stringify(marker, null, 2))) {
      emit({ event: 'volume-initialised', volumeId: marker.volumeId })
    }
  }
  return openVolume(root)
}

async function readMarker(layout: Layout): Promise<z.infer<typeof Marker> | undefined> {
  const marker = await readJson(layout.marker, Marker)
  if (!marker || (marker.minReader <= FORMAT && marker.minWriter <= FORMAT)) return marker
  throw new WorkspaceError('FORMAT_UNSUPPORTED', `this volume needs a newer version of the Tasks`, {
    expected: `minReader and minWriter of at most ${FORMAT} in ${layout.marker}`,
    found: `minReader ${marker.minReader}, minWriter ${marker.minWriter}`,
    hint: 'use the version of the Tasks that the volume was made with, or a newer one',
  })
}

async function isFolder(path: string): Promise<boolean> {
  try {
    return (await fs.stat(path)).isDirectory()
  } catch (error) {
    if (errno(error) === 'ENOENT' || errno(error) === 'ENOTDIR') return false
    throw error
  }
}
