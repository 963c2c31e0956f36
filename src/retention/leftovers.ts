/** What killed processes left: temporary names, wherever names are published. */
import { dirname, join } from 'node:path'
import { errno } from '../errors.ts'
import * as fs from '../platform/fs.ts'
import { TEMPORARY, UNDER_WAY } from '../volume/publish.ts'
import type { Volume } from '../volume/volume.ts'
import type { Thing } from './scan.ts'

type List = (folder: string) => Promise<fs.Dirent[]>

export async function findLeftovers(
  volume: Volume,
  list: List,
  thing: (path: string) => Promise<Thing>,
): Promise<Thing[]> {
  const found: Thing[] = []
  const add = async (path: string): Promise<void> => {
    // Its writer may finish with it at this moment.
    const one = await thing(path).catch(() => undefined)
    if (one) found.push(one)
  }
  for (const place of await publishingPlaces(volume, list)) {
    for (const entry of await list(place)) {
      if ([TEMPORARY, UNDER_WAY].some((prefix) => entry.name.startsWith(prefix)))
        await add(join(place, entry.name))
    }
  }
  const { beginnings } = volume.layout
  for (const { name } of await list(beginnings))
    if (await dangles(join(beginnings, name))) await add(join(beginnings, name))
  return found
}

/** The beginning of a large blob is a symlink to it, and of no use without it. */
const dangles = (path: string): Promise<boolean> =>
  fs.stat(path).then(
    () => false,
    (error: unknown) => errno(error) === 'ENOENT',
  )

/** The folders that temporary names are made in; those inside a run go when the run goes. */
async function publishingPlaces({ layout }: Volume, list: List): Promise<string[]> {
  const below = async (folder: string, depth: number): Promise<string[]> => {
    if (depth === 0) return [folder]
    const folders = (await list(folder)).filter((entry) => entry.isDirectory())
    return (await Promise.all(folders.map(({ name }) => below(join(folder, name), depth - 1)))).flat()
  }
  return [
    layout.pipelines,
    join(layout.blobs, 'sha256'),
    layout.marks,
    layout.scrubs,
    layout.probes,
    dirname(layout.marker),
    ...(await below(layout.trash, 1)),
    ...(await below(layout.templates, 1)),
    // locks/<name>/events, shared/cache/<scope>/<key>, and artifacts/<run>/<task>/<output>.
    ...(await below(layout.locks, 2)),
    // An eviction leaves the key that it was removing beside the others.
    ...(await below(layout.cache, 1)),
    ...(await below(layout.cache, 2)),
    ...(await below(layout.artifacts, 3)),
    // fleets/<fleet>/target; what is a consumer's goes with the consumer.
    ...(await below(layout.fleets, 2)),
    ...(await below(layout.tools, 2)),
  ]
}
