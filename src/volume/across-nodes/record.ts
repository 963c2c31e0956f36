/** What the probe on two nodes has found, as entries on the volume: the newest counts. */
import { join } from 'node:path'
import { WorkspaceError } from '../../errors.ts'
import * as z from '../../zod.ts'
import { listEntries, publishEntry, publishFile } from '../publish.ts'
import { readJson } from '../read-json.ts'
import type { Volume } from '../volume.ts'

const AcrossNodes = z.object({
  v: z.literal(1),
  /** Wall-clock time, for people. */
  at: z.string(),
  /** Whether names that are taken on one node are taken on the other. */
  exclusion: z.enum(['yes', 'no']),
  /** Why it is a `no`. */
  reasons: z.array(z.string()),
  /** Which nodes, and how each has mounted the volume. */
  sides: z.array(
    z.object({
      node: z.string(),
      mount: z.object({ type: z.string(), source: z.string(), options: z.string() }),
    }),
  ),
  /** For how many names both sides raced, by each of the ways to take one. */
  races: z.number(),
  /** The longest from a name made on one node to the answer seen on it from the other. */
  slowestAnswerMs: z.number(),
  /** flock between the nodes; nothing rests on it. */
  flock: z.string(),
})
export type AcrossNodes = z.infer<typeof AcrossNodes>

export async function recordAcrossNodes(volume: Volume, found: AcrossNodes): Promise<void> {
  const text = JSON.stringify(found, null, 2)
  await publishEntry(volume.layout.acrossNodes, 0, (_, path) => publishFile(path, text))
}

/** What the last probe on two nodes found; undefined where there was none. @throws WorkspaceError FORMAT_UNSUPPORTED. */
export async function readAcrossNodes({ layout }: Volume): Promise<AcrossNodes | undefined> {
  const newest = (await listEntries(layout.acrossNodes)).at(-1)
  return newest && readJson(join(layout.acrossNodes, newest.name), AcrossNodes)
}

/** @throws WorkspaceError STORAGE_UNSAFE where two nodes have shown that locks on this volume exclude nobody. */
export async function requireExclusion(volume: Volume): Promise<void> {
  const found = await readAcrossNodes(volume)
  if (found) refuseUnsafe(found)
}

/** @throws WorkspaceError STORAGE_UNSAFE for a `no`. */
export function refuseUnsafe({ exclusion, at, sides, reasons }: AcrossNodes): void {
  if (exclusion === 'yes') return
  const where = sides.map(({ node, mount }) => `${node} (${mount.type}, ${mount.options})`).join(' and ')
  throw new WorkspaceError('STORAGE_UNSAFE', 'locks on this volume do not exclude across nodes', {
    expected: 'a name that one node takes to be taken on every other',
    found: `${reasons.join('; ')}; seen at ${at} between ${where}`,
    hint: 'keep locks as Leases (backend: lease); or change how the volume is mounted, and run the probe of maintenance/probe-locks.yaml again',
  })
}
