/**
 * The versions of one output: a folder of entries that are only ever added (volume/publish.ts). A folder among
 * them is an artifact, as a complete OCI image layout. A file is a seal: from there on somebody has retrieved
 * the artifact below it. Both compete for the same next name, so exactly one of "sealed" and "replaced" happens.
 */
import { parseJson } from '../json.ts'
import { join, relative } from 'node:path'
import * as z from 'zod'
import { WorkspaceError } from '../errors.ts'
import type { Identity } from '../identity.ts'
import { timestamp } from '../platform/clock.ts'
import * as fs from '../platform/fs.ts'
import { DIGEST } from '../stores/digest.ts'
import type { Digest } from '../stores/store.ts'
import type { Layout } from '../volume/layout.ts'
import { publishFile, publishFolder, type Entry } from '../volume/publish.ts'
import { canonicalJson } from './canonical.ts'
import { MEDIA_TYPES, ORIGIN_ANNOTATIONS } from './format.ts'

/** What index.json says of the artifact of an entry. */
export interface StoredEntry {
  digest: Digest
  /** Bytes of the manifest. */
  size: number
  /** The pod that stored it. */
  podUid: string | undefined
}

/** Entries without a fence belong to this epoch. */
export const UNFENCED = 0

const IndexJson = z.object({
  schemaVersion: z.literal(2),
  manifests: z.tuple([
    z.object({
      mediaType: z.literal(MEDIA_TYPES.manifest),
      digest: z.string().regex(DIGEST),
      size: z.int().nonnegative(),
      annotations: z.record(z.string(), z.string()).optional(),
    }),
  ]),
})

/** The newest artifact among entries: seals are not artifacts. */
export const newestArtifact = (entries: readonly Entry[]): Entry | undefined =>
  entries.findLast((entry) => entry.isFolder)

export async function readEntry(folder: string): Promise<StoredEntry> {
  const path = join(folder, 'index.json')
  const parsed = IndexJson.safeParse(parseJson(await fs.readFile(path)))
  if (!parsed.success) {
    throw new WorkspaceError('DIGEST_MISMATCH', `${path} does not describe an artifact`, {
      expected: 'an OCI image layout with one manifest',
      found: z.prettifyError(parsed.error),
      hint: 'somebody changed it: store the artifact again',
    })
  }
  const [{ digest, size, annotations }] = parsed.data.manifests
  return { digest, size, podUid: annotations?.[ORIGIN_ANNOTATIONS.podUid] }
}

/** Publishes an artifact as the entry `path`. @returns false where that name was taken */
export function publishArtifact(
  path: string,
  layout: Layout,
  manifest: { digest: Digest; size: number },
  output: string,
  identity: Identity,
): Promise<boolean> {
  const indexJson = {
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.layout,
    manifests: [
      {
        mediaType: MEDIA_TYPES.manifest,
        digest: manifest.digest,
        size: manifest.size,
        artifactType: MEDIA_TYPES.artifact,
        annotations: { ...originOf(identity), [ORIGIN_ANNOTATIONS.refName]: output },
      },
    ],
  }
  return publishFolder(path, async (folder) => {
    await publishFile(join(folder, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}')
    await publishFile(join(folder, 'index.json'), canonicalJson(indexJson))
    await fs.symlink(relative(path, layout.blobs), join(folder, 'blobs'))
  })
}

/** Publishes a seal as the entry `path`. @returns false where that name was taken */
export function publishSeal(path: string, identity: Identity): Promise<boolean> {
  return publishFile(
    path,
    canonicalJson({ sealed: 'the artifact below was retrieved', by: originOf(identity) }),
  )
}

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
