/**
 * What the coordinator and its clients say to each other over HTTP (docs/coordinator.md has the table). Uploads are
 * OCI distribution's: POST begins one, PATCH appends, PUT with the digest ends it; offsets are named as in tus.
 */
import * as z from '../../zod.ts'

/** In every answer of a coordinator; an answer without it comes from somebody in between. */
export const PROTOCOL_HEADER = 'shared-workspace-coordinator'
export const PROTOCOL = '1'

/** How many bytes of an upload the server has: in its answers, and in a PATCH, which goes on from there. */
export const OFFSET_HEADER = 'upload-offset'

/** The most that one request may carry, in bytes: what is larger goes in several. */
export const MAX_BODY = 16 * 1024 * 1024

/** Paths have names between slashes, each percent-encoded. */
const path = (kind: string, names: readonly string[]): string =>
  ['/v1', kind, ...names.map(encodeURIComponent)].join('/')

export const blobPath = (digest: string): string => path('blobs', [digest])
export const uploadPath = (id = '', digest?: string): string =>
  path('uploads', id ? [id] : []) + (digest === undefined ? '' : `?digest=${digest}`)
export const entriesPath = (names: readonly string[], query: Record<string, string> = {}): string => {
  const text = new URLSearchParams(query).toString()
  return path('entries', names) + (text && `?${text}`)
}
export const namesPath = (names: readonly string[]): string => path('names', names)
export const runPath = (namespace: string, name: string): string => path('runs', [namespace, name])

/** The answer to the PUT, or the whole POST, of an upload. */
export const Stored = z.object({
  digest: z.string(),
  size: z.int().check(z.nonnegative()),
  isNew: z.boolean(),
})

export const Entries = z.array(
  z.object({
    epoch: z.int().check(z.nonnegative()),
    n: z.int().check(z.nonnegative()),
    name: z.string(),
    kind: z.enum(['artifact', 'seal']),
  }),
)
export const Names = z.array(z.string())
export const Run = z.object({ uid: z.string() })

/** The body of every refusal; `code` where it is a failure that a user can meet (errors.ts). */
export const Refused = z.object({
  message: z.string(),
  code: z.optional(z.string()),
  expected: z.optional(z.string()),
  found: z.optional(z.string()),
  hint: z.optional(z.string()),
})
export type Refused = z.infer<typeof Refused>
