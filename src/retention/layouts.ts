/**
 * Reads what refers to blobs: every OCI image layout under artifacts/ and shared/cache/, and in trash as long as it
 * can be restored. Archived runs hold none: the link of a layout to the store is right in its own place only.
 */
import { join, relative } from 'node:path'
import * as z from '../zod.ts'
import { errno, toWorkspaceError, WorkspaceError } from '../errors.ts'
import { parseJson } from '../json.ts'
import * as fs from '../platform/fs.ts'
import { BATCH } from '../stores/bring-back.ts'
import { DIGEST, readVerified } from '../stores/digest.ts'
import type { Digest } from '../stores/store.ts'
import { volumeStore } from '../stores/volume-store.ts'
import type { Layout } from '../volume/layout.ts'
import { TEMPORARY } from '../volume/publish.ts'
import type { Volume } from '../volume/volume.ts'
import { isOurs } from './is-ours.ts'
import { readTrashed } from '../volume/trash.ts'

export interface StoredLayout {
  /** Relative to the root. */
  path: string
  /** Of its first manifest: who stored it and when. */
  annotations: Record<string, string>
  /** Everything that it refers to, as far as it could be read. */
  blobs: Digest[]
  /** Whether all of it could be read. */
  isWhole: boolean
}

export interface Layouts {
  layouts: StoredLayout[]
  /** What could not be read, and may refer to any blob. */
  problems: { path: string; why: string }[]
}

/** A larger manifest is not one of ours: millions of files would not fill it. */
const MANIFEST_MAX = 64 * 1024 * 1024

const IndexJson = z.object({
  manifests: z.array(
    z.object({
      digest: z.string().check(z.regex(DIGEST)),
      size: z.int().check(z.nonnegative(), z.maximum(MANIFEST_MAX)),
      annotations: z.optional(z.record(z.string(), z.string())),
    }),
  ),
})

type Descriptor = z.infer<typeof IndexJson>['manifests'][number]

/** Reads all of them. What disappears meanwhile is no problem; what is there and cannot be read is. */
export async function readLayouts({ layout }: Volume): Promise<Layouts> {
  const found = new Map<string, StoredLayout>()
  const problems = new Map<string, string>()
  const manifests = new Map<Digest, Digest[]>()
  const attempt = async (path: string, work: () => Promise<void>): Promise<void> => {
    try {
      await work()
    } catch (error) {
      problems.set(relative(layout.root, path), toWorkspaceError(error).message)
    }
  }
  const walk = (folder: string): Promise<void> =>
    attempt(folder, async () => {
      const path = relative(layout.root, folder)
      if (found.has(path)) return
      const items = await fs.list(folder)
      if (items.some(({ name }) => name === 'index.json')) {
        const seen: StoredLayout = { path, annotations: {}, blobs: [], isWhole: false }
        found.set(path, seen)
        await fill(seen, folder, layout, manifests)
        if (!seen.isWhole) found.delete(path)
        return
      }
      for (const item of items) {
        const below = join(folder, item.name)
        if (item.isSymbolicLink()) problems.set(relative(layout.root, below), 'a symlink is not looked into')
        else if (item.isDirectory() && !item.name.startsWith(TEMPORARY)) await walk(below)
      }
    })
  const walkRoot = (root: string): Promise<void> =>
    attempt(root, async () => {
      if ((await fs.list(root)).length === 0 || (await isOurs(layout.root, root))) return walk(root)
      problems.set(relative(layout.root, root), 'a symlink is not looked into')
    })
  const roots = [
    () => walkRoot(layout.artifacts),
    () => walkRoot(layout.cache),
    () => walkTrash(layout, attempt, walk),
  ]
  // There and back again: what goes from one to another while they are read (trash, restore) would slip through
  // a single pass.
  for (const root of [...roots, ...roots.toReversed()]) await root()
  return {
    layouts: [...found.values()],
    problems: [...problems].map(([path, why]) => ({ path, why })),
  }
}

async function walkTrash(
  layout: Layout,
  attempt: (path: string, work: () => Promise<void>) => Promise<void>,
  walk: (folder: string) => Promise<void>,
): Promise<void> {
  const places: string[] = []
  await attempt(layout.trash, async () => {
    for (const day of await fs.list(layout.trash)) {
      const folder = join(layout.trash, day.name)
      for (const { name } of day.isDirectory() ? await fs.list(folder) : [])
        if (!name.startsWith(TEMPORARY) && !name.startsWith(BATCH)) places.push(join(folder, name))
    }
  })
  for (const place of places) {
    await attempt(place, async () => {
      const note = await readTrashed(place)
      if (note && /^(artifacts|shared\/cache)\//.test(note.from)) await walk(join(place, 'content'))
    })
  }
}

/** Reads the layout in `folder` into `seen`; leaves it where the layout is gone. */
async function fill(
  seen: StoredLayout,
  folder: string,
  layout: Layout,
  manifests: Map<Digest, Digest[]>,
): Promise<void> {
  const index = await readIndex(folder)
  if (!index) return
  seen.annotations = index.manifests[0]?.annotations ?? {}
  seen.blobs = index.manifests.map(({ digest }) => digest)
  for (const manifest of index.manifests) {
    const blobs = manifests.get(manifest.digest) ?? digestsIn(await readManifest(layout, manifest))
    manifests.set(manifest.digest, blobs)
    seen.blobs = [...seen.blobs, ...blobs]
  }
  seen.isWhole = true
}

async function readIndex(folder: string): Promise<z.infer<typeof IndexJson> | undefined> {
  const path = join(folder, 'index.json')
  let bytes: Buffer
  try {
    bytes = await fs.readFile(path)
  } catch (error) {
    if (errno(error) !== 'ENOENT') throw error
    if ((await fs.list(folder)).some(({ name }) => name === 'index.json')) throw error
    return undefined
  }
  const parsed = IndexJson.safeParse(parseJson(bytes))
  if (parsed.success) return parsed.data
  throw new WorkspaceError('DIGEST_MISMATCH', `${path} does not describe an artifact`, {
    found: z.prettifyError(parsed.error),
    hint: 'somebody changed it: move its folder away',
  })
}

async function readManifest(layout: Layout, manifest: Descriptor): Promise<unknown> {
  return parseJson(await readVerified(volumeStore(layout), manifest))
}

/** Every digest that a manifest names, wherever it stands: one too many does no harm. */
function digestsIn(value: unknown): Digest[] {
  if (typeof value !== 'object' || value === null) return []
  return Object.entries(value).flatMap(([key, below]) =>
    key === 'digest' && typeof below === 'string' && DIGEST.test(below) ? [below] : digestsIn(below),
  )
}
