/** Finds the artifacts of a request and chooses what is wanted of them, before anything is written. */
import { WorkspaceError } from '../errors.ts'
import { missingBlob } from '../stores/digest.ts'
import type { ArtifactStore, BlobStore, Digest, Strategy } from '../stores/store.ts'
import type { Conflicts } from './conflicts.ts'
import { locate, type Asking } from './locate.ts'
import { readArtifact } from './manifest.ts'
import { parseReference } from './reference.ts'
import { matching, merge, stripped, type Selected } from './select.ts'

export interface Wanted extends Asking {
  /** `<task>/<output>` or uris, each with or without `@sha256:…`. */
  artifacts: readonly string[]
  /** Globs on paths inside the artifacts; none for everything. */
  files: readonly string[]
  /** How many names are taken off the front of each path. */
  strip: number
  /** What becomes of a path at which several artifacts hold other content. */
  conflicts: Conflicts
  /** Artifacts that do not exist are skipped. */
  optional: boolean
}

/** An artifact with what is wanted of it. */
export interface Chosen {
  uri: string
  digest: Digest
  strategy: Strategy
  selected: Selected[]
}

export interface Gathered {
  chosen: Chosen[]
  /** What is wanted of all of them, as one tree. */
  selected: Selected[]
  /** Gives the content of each from the store that has it. */
  blobs: BlobStore
}

/** @throws WorkspaceError ARTIFACT_NOT_FOUND, DIGEST_MISMATCH, TARGET_CONFLICT, UNSAFE_PATH, RUN_NOT_FOUND */
export async function gather(wanted: Wanted): Promise<Gathered> {
  const chosen: Chosen[] = []
  const stores = new Map<Digest, ArtifactStore>()
  for (const reference of wanted.artifacts.map(parseReference)) {
    const located = await locate(reference, wanted)
    if (!located.stored) {
      missing(located.soughtAs.join(' or '), wanted)
      continue
    }
    const { uri, store, stored } = located
    const artifact = await readArtifact(store.blobs, stored)
    for (const { digest } of artifact.manifest.layers) stores.set(digest, store)
    const selected = stripped(matching(artifact, wanted.files), wanted.strip)
    chosen.push({ uri, digest: stored.digest, strategy: store.strategy, selected })
  }
  const selections = chosen.map((one) => one.selected)
  const selected = merge(selections, wanted.conflicts)
  if (selected.length === 0 && wanted.files.length > 0 && chosen.length > 0) throw noMatch(wanted, chosen)
  return { chosen, selected, blobs: routed(stores) }
}

function missing(uri: string, { optional, emit }: Wanted): void {
  if (optional) {
    emit({ event: 'artifact-skipped', uri, why: 'it was not stored, and it is optional' })
    return
  }
  throw new WorkspaceError('ARTIFACT_NOT_FOUND', `there is no artifact ${uri}`, {
    expected: 'an output that a task has stored',
    found: 'none of that run, task and name',
    hint: 'look whether its task has run and what it called its output; set optional to true if it may be missing',
  })
}

/** Reads each blob from the store that it was found in. */
function routed(stores: ReadonlyMap<Digest, ArtifactStore>): BlobStore {
  const place = [...new Set([...stores.values()].map((store) => store.place))].join(', ')
  const of = (digest: Digest): BlobStore => {
    const store = stores.get(digest)
    if (store) return store.blobs
    throw missingBlob(digest, place)
  }
  return {
    place,
    size: (digest) => of(digest).size(digest),
    get: (digest, range) => of(digest).get(digest, range),
    put: () => Promise.reject(new WorkspaceError('INTERNAL', 'a retrieval stores nothing')),
  }
}

function noMatch({ files }: Wanted, chosen: readonly Chosen[]): WorkspaceError {
  return new WorkspaceError(
    'ARTIFACT_NOT_FOUND',
    `no file of ${chosen.map(({ uri }) => uri).join(', ')} matches`,
    {
      expected: files.join(', '),
      found: 'none',
      hint: 'globs match whole paths inside the artifact: "**/*.jar" finds jars at any depth',
    },
  )
}
