/**
 * The versions of one output: entries that are only ever added (stores/store.ts). An artifact among them has the
 * index.json of an OCI image layout. A seal says that somebody has retrieved the artifact below it. Both compete
 * for the same next name, so exactly one of "sealed" and "replaced" happens.
 */
import * as z from '../zod.ts'
import { WorkspaceError } from '../errors.ts'
import type { Identity } from '../identity.ts'
import { parseJson } from '../json.ts'
import { jitter, sleep, timestamp } from '../platform/clock.ts'
import { DIGEST } from '../stores/digest.ts'
import type { ArtifactStore, Digest, EntryKind, EntryPath, StoreEntry } from '../stores/store.ts'
import { checkName } from '../volume/layout.ts'
import { canonicalJson } from './canonical.ts'
import { MEDIA_TYPES, ORIGIN_ANNOTATIONS } from './format.ts'

/** What index.json says of the artifact of an entry. */
export interface StoredEntry {
  digest: Digest
  /** Bytes of the manifest. */
  size: number
  /** The pod that stored it. */
  podUid: string | undefined
  /** RFC 3339, by the clock of the pod that stored it; '' where it is not said. */
  created: string
}

/** Entries without a fence belong to this epoch. */
export const UNFENCED = 0

/** Where the entries of an output are. @throws WorkspaceError UNSAFE_PATH */
export function outputPath({ runId, task, output }: Record<'runId' | 'task' | 'output', string>): EntryPath {
  return ['artifacts', checkName(runId, 'run id'), checkName(task, 'task'), checkName(output, 'output')]
}

const IndexJson = z.object({
  schemaVersion: z.literal(2),
  manifests: z.tuple([
    z.object({
      mediaType: z.literal(MEDIA_TYPES.manifest),
      digest: z.string().check(z.regex(DIGEST)),
      size: z.int().check(z.nonnegative()),
      annotations: z.optional(z.record(z.string(), z.string())),
    }),
  ]),
})

/** The newest artifact among entries: seals are not artifacts, and below the highest epoch nothing is read. */
export const newestArtifact = (entries: readonly StoreEntry[]): StoreEntry | undefined =>
  entries.findLast(({ kind, epoch }) => kind === 'artifact' && epoch === entries.at(-1)?.epoch)

/** @throws WorkspaceError DIGEST_MISMATCH where it is no index.json of ours, ARTIFACT_NOT_FOUND where it is gone */
export async function readEntry(store: ArtifactStore, path: EntryPath, name: string): Promise<StoredEntry> {
  const parsed = IndexJson.safeParse(parseJson(await store.read(path, name)))
  if (!parsed.success) {
    const where = [store.place, ...path, name].join('/')
    throw new WorkspaceError('DIGEST_MISMATCH', `${where}/index.json does not describe an artifact`, {
      expected: 'an OCI image layout with one manifest',
      found: z.prettifyError(parsed.error),
      hint: 'somebody changed it: store the artifact again',
    })
  }
  const [{ digest, size, annotations = {} }] = parsed.data.manifests
  return {
    digest,
    size,
    podUid: annotations[ORIGIN_ANNOTATIONS.podUid],
    created: annotations[ORIGIN_ANNOTATIONS.created] ?? '',
  }
}

/**
 * Adds the next entry of `epoch` at a path. `decide` sees the entries as they are and gives what to publish, or
 * undefined to leave it; it is asked again whenever another writer took that name first.
 * @returns the entry's name, or undefined where `decide` left it
 */
export async function addEntry(
  store: ArtifactStore,
  path: EntryPath,
  epoch: number,
  decide: (entries: StoreEntry[]) => Promise<{ kind: EntryKind; document: string } | undefined>,
): Promise<string | undefined> {
  for (;;) {
    const entries = await store.entries(path)
    const entry = await decide(entries)
    if (!entry) return undefined
    const last = entries.findLast((one) => one.epoch === epoch)
    const name = `${epoch}.${(last?.n ?? -1) + 1}`
    if (await store.publish(path, name, entry.kind, entry.document)) return name
    await sleep(jitter(20))
  }
}

/** The index.json of an artifact: which manifest, who stored it and when. */
export function indexJson(
  manifest: { digest: Digest; size: number },
  refName: string,
  identity: Identity,
): string {
  return canonicalJson({
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.layout,
    manifests: [
      {
        mediaType: MEDIA_TYPES.manifest,
        digest: manifest.digest,
        size: manifest.size,
        artifactType: MEDIA_TYPES.artifact,
        annotations: { ...originOf(identity), [ORIGIN_ANNOTATIONS.refName]: refName },
      },
    ],
  })
}

export const sealDocument = (identity: Identity): string =>
  canonicalJson({ sealed: 'the artifact below was retrieved', by: originOf(identity) })

/** Of the entry that begins an epoch where there was nothing: it takes a name, as a seal does. */
export const openedDocument = (identity: Identity): string =>
  canonicalJson({ opened: 'there was no artifact before this epoch', by: originOf(identity) })

function originOf({ run, taskRun, task, pod, node }: Identity): Record<string, string> {
  return {
    [ORIGIN_ANNOTATIONS.created]: timestamp(),
    [ORIGIN_ANNOTATIONS.namespace]: run.namespace,
    [ORIGIN_ANNOTATIONS.runKind]: run.kind,
    [ORIGIN_ANNOTATIONS.runName]: run.name,
    [ORIGIN_ANNOTATIONS.runUid]: run.uid,
    [ORIGIN_ANNOTATIONS.task]: task,
    [ORIGIN_ANNOTATIONS.taskRunName]: taskRun.name,
    [ORIGIN_ANNOTATIONS.taskRunUid]: taskRun.uid,
    [ORIGIN_ANNOTATIONS.podName]: pod.name,
    [ORIGIN_ANNOTATIONS.podUid]: pod.uid,
    [ORIGIN_ANNOTATIONS.node]: node,
  }
}
