/** The OCI manifest of an artifact: its digest is the artifact's digest. */
import { parseJson } from '../json.ts'
import * as z from '../zod.ts'
import { WorkspaceError } from '../errors.ts'
import { DIGEST, readVerified } from '../stores/digest.ts'
import type { BlobStore, Digest } from '../stores/store.ts'
import { decodeIndex, type ArtifactIndex } from './artifact-index.ts'
import { canonicalJson } from './canonical.ts'
import { digestOfEntries } from './digest.ts'
import { CONTENT_ANNOTATIONS, MEDIA_TYPES } from './format.ts'

const Descriptor = z.object({
  mediaType: z.string(),
  digest: z.string().check(z.regex(DIGEST)),
  size: z.int().check(z.nonnegative()),
  annotations: z.optional(z.record(z.string(), z.string())),
})

const Manifest = z.object({
  schemaVersion: z.literal(2),
  mediaType: z.literal(MEDIA_TYPES.manifest),
  artifactType: z.literal(MEDIA_TYPES.artifact),
  config: z.extend(Descriptor, { mediaType: z.literal(MEDIA_TYPES.index) }),
  layers: z.array(Descriptor),
  annotations: z.record(z.string(), z.string()),
})

export type Descriptor = z.infer<typeof Descriptor>
export type Manifest = z.infer<typeof Manifest>

/** An artifact whose manifest and index have been verified. */
export interface Artifact {
  manifest: Manifest
  index: ArtifactIndex
}

export interface Content {
  digest: Digest
  files: number
  bytes: number
}

export function encodeManifest(
  config: { digest: Digest; size: number },
  layers: Descriptor[],
  content: Content,
): Buffer {
  const manifest: Manifest = {
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.manifest,
    artifactType: MEDIA_TYPES.artifact,
    config: { mediaType: MEDIA_TYPES.index, digest: config.digest, size: config.size },
    layers,
    annotations: {
      [CONTENT_ANNOTATIONS.contentDigest]: content.digest,
      [CONTENT_ANNOTATIONS.files]: String(content.files),
      [CONTENT_ANNOTATIONS.bytes]: String(content.bytes),
    },
  }
  return Buffer.from(canonicalJson(manifest))
}

/** Reads and verifies a manifest. @throws WorkspaceError DIGEST_MISMATCH, ARTIFACT_NOT_FOUND */
export async function readManifest(
  store: BlobStore,
  blob: { digest: Digest; size: number },
): Promise<Manifest> {
  const bytes = await readVerified(store, blob)
  const parsed = Manifest.safeParse(parseJson(bytes))
  if (parsed.success) return parsed.data
  throw new WorkspaceError(
    'DIGEST_MISMATCH',
    `${blob.digest} is not the manifest of an artifact of this format`,
    {
      expected: MEDIA_TYPES.artifact,
      found: z.prettifyError(parsed.error),
    },
  )
}

/** Reads and verifies a manifest and its index. @throws WorkspaceError as `readManifest`, and UNSAFE_PATH */
export async function readArtifact(
  store: BlobStore,
  blob: { digest: Digest; size: number },
): Promise<Artifact> {
  const manifest = await readManifest(store, blob)
  const index = decodeIndex(await readVerified(store, manifest.config), manifest.layers)
  const [expected, found] = [
    manifest.annotations[CONTENT_ANNOTATIONS.contentDigest],
    digestOfEntries(index.entries),
  ]
  if (expected === found) return { manifest, index }
  throw new WorkspaceError(
    'DIGEST_MISMATCH',
    `the content digest of ${blob.digest} is not that of its index`,
    {
      ...(expected ? { expected } : {}),
      found,
    },
  )
}
