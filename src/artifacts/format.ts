/**
 * The artifact format, version 1. What stands here decides the bytes of packs, indexes and manifests, and so
 * every digest: a change of any value is a new format version.
 */
import { sha256 } from '../platform/hash.ts'

export const MEDIA_TYPES = {
  layout: 'application/vnd.oci.image.index.v1+json',
  manifest: 'application/vnd.oci.image.manifest.v1+json',
  artifact: 'application/vnd.tekton-shared-workspace.artifact.v1',
  /** The manifest's config. */
  index: 'application/vnd.tekton-shared-workspace.index.v1+json',
  pack: 'application/vnd.oci.image.layer.v1.tar+zstd',
  file: 'application/octet-stream',
} as const

const OURS = 'vnd.tekton-shared-workspace'

/** Annotations that are part of the manifest: they tell of content only. */
export const CONTENT_ANNOTATIONS = {
  title: 'org.opencontainers.image.title',
  contentDigest: `${OURS}.content-digest`,
  files: `${OURS}.files`,
  bytes: `${OURS}.bytes`,
} as const

/** Annotations of index.json, which no digest covers: who made the artifact and when. */
export const ORIGIN_ANNOTATIONS = {
  created: 'org.opencontainers.image.created',
  /** Tools take it for the tag. */
  refName: 'org.opencontainers.image.ref.name',
  namespace: `${OURS}.namespace`,
  runKind: `${OURS}.run.kind`,
  runName: `${OURS}.run.name`,
  runUid: `${OURS}.run.uid`,
  task: `${OURS}.task`,
  taskRunName: `${OURS}.task-run.name`,
  taskRunUid: `${OURS}.task-run.uid`,
  podName: `${OURS}.pod.name`,
  podUid: `${OURS}.pod.uid`,
  node: `${OURS}.node`,
} as const

/** Files of this many bytes or more are blobs of their own; smaller ones travel in packs. */
export const LARGE_FILE = 1024 * 1024

/** A pack's tar is cut into pieces of this many bytes, each compressed by itself. */
export const FRAME = 1024 * 1024

/** zstd's level. Content that does not compress stays as it is inside a frame, at 33 bytes per MiB. */
export const ZSTD_LEVEL = 1

const PACK_MIN = 4 * 1024 * 1024
const PACK_MAX = 64 * 1024 * 1024

/**
 * Whether a pack of `packed` bytes ends before `path`. The path's hash decides, not a position: a file that is
 * added or grows moves no boundary further on, and the packs there stay the blobs that they were.
 */
export function endsPack(packed: number, path: string): boolean {
  if (packed < PACK_MIN) return false
  if (packed >= PACK_MAX) return true
  return Number.parseInt(sha256(path).slice(0, 2), 16) < 2
}

/** The name by which tools write a pack to disk. */
export const packTitle = (n: number): string => `shared-workspace-pack-${String(n).padStart(4, '0')}.tar.zst`
