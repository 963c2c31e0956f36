/** The outputs on the volume, each a folder of artifacts of one name in one run. */
import { dirname, join } from 'node:path'
import { ORIGIN_ANNOTATIONS } from '../artifacts/format.ts'
import type { Owner, OwnerKind } from '../identity.ts'
import * as fs from '../platform/fs.ts'
import type { Liveness, Verdict } from '../volume/liveness.ts'
import type { Volume } from '../volume/volume.ts'
import { artifactName } from './artifact-name.ts'
import type { StoredLayout } from './layouts.ts'
import type { Mark } from './mark.ts'
import type { Thing } from './scan.ts'

export interface Output extends Thing {
  /** What it shares with the same output of other runs. */
  name: string
  /** When its newest good artifact was stored, as text that sorts; undefined where none is good. */
  goodSince: string | undefined
  pinned: boolean
  /** Of the run that stored it; undefined where it is too young to ask. */
  verdict: Verdict | undefined
}

/** A file of this name in the folder of an output, or of a run, keeps what is in it. */
const PIN = '.pinned'

/** artifacts/<run>/<task>/<output>/<entry> */
const ENTRY = /^artifacts\/[^/]+\/([^/]+)\/([^/]+)\/[^/]+$/

/** One output, from its layouts; `askFrom`: the age in ms from which on it matters whether its run is alive. */
export async function readOutput(
  { layout }: Volume,
  mark: Mark,
  layouts: readonly StoredLayout[],
  thing: (path: string) => Promise<Thing>,
  liveness: Liveness,
  askFrom: number,
): Promise<Output | undefined> {
  const newest = layouts.reduce((best, one) => (createdOf(one) > createdOf(best) ? one : best))
  const [, task, output] = ENTRY.exec(newest.path) ?? []
  if (task === undefined || output === undefined) return undefined
  const folder = join(layout.root, dirname(newest.path))
  const good = layouts.filter((one) => one.isWhole && !one.blobs.some((blob) => mark.missing.has(blob)))
  const measured = await thing(folder)
  return {
    ...measured,
    name: artifactName(newest.annotations, task, output),
    goodSince: good.map(createdOf).sort().at(-1),
    pinned: (await isPinned(folder)) || (await isPinned(join(folder, '..', '..'))),
    verdict: measured.ageMs < askFrom ? undefined : await verdictOn(newest, liveness),
  }
}

/** The layouts of each output. */
export function byOutput(layouts: readonly StoredLayout[]): Map<string, StoredLayout[]> {
  const artifacts = layouts.filter(({ path }) => ENTRY.test(path))
  return Map.groupBy(artifacts, ({ path }) => dirname(path))
}

const createdOf = ({ annotations }: StoredLayout): string => annotations[ORIGIN_ANNOTATIONS.created] ?? ''

async function isPinned(folder: string): Promise<boolean> {
  return (await fs.list(folder)).some(({ name }) => name === PIN)
}

const KINDS: readonly string[] = ['PipelineRun', 'TaskRun', 'Pod', 'LocalRun'] satisfies OwnerKind[]

async function verdictOn({ annotations }: StoredLayout, liveness: Liveness): Promise<Verdict> {
  const kind = annotations[ORIGIN_ANNOTATIONS.runKind] ?? ''
  const [namespace, name, uid] = [
    annotations[ORIGIN_ANNOTATIONS.namespace],
    annotations[ORIGIN_ANNOTATIONS.runName],
    annotations[ORIGIN_ANNOTATIONS.runUid],
  ]
  if (!KINDS.includes(kind) || !namespace || !name || !uid)
    return { state: 'unknown', why: 'its index.json does not say which run stored it' }
  return liveness({ kind: kind as Owner['kind'], namespace, name, uid })
}
