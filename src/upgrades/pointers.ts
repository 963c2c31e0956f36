/** Reading and publishing what a fleet's leader and its consumers say. */
import { join } from 'node:path'
import { parseJson } from '../json.ts'
import { errno, ignoreMissing, WorkspaceError } from '../errors.ts'
import * as fs from '../platform/fs.ts'
import { publishFenced, readFenced, readPointer, type Fence } from '../volume/fence.ts'
import type { Layout } from '../volume/layout.ts'
import { listEntries } from '../volume/publish.ts'
import type * as z from '../zod.ts'
import { State, Target } from './format.ts'
import { targetOf, type ConsumerPlace } from './places.ts'

/** Older entries are of no use; so many stay, for people, and for readers that have just listed them. */
const KEPT = 20

/** What the leader wants, for everybody; undefined where the fleet never had one. @throws WorkspaceError FORMAT_UNSUPPORTED */
export async function readTarget(layout: Layout, fleet: string): Promise<Target | undefined> {
  const folder = targetOf(layout, fleet)
  return parse(folder, Target, await readPointer(folder))
}

/** As `readTarget`, for the leader: from here on nothing that earlier ones publish is seen. @throws WorkspaceError STALE_LOCK */
export async function takeTarget(layout: Layout, fleet: string, fence: Fence): Promise<Target | undefined> {
  const folder = targetOf(layout, fleet)
  return parse(folder, Target, await readFenced(folder, fence))
}

/** @throws WorkspaceError STALE_LOCK where another leads */
export const publishTarget = (layout: Layout, fleet: string, fence: Fence, target: Target): Promise<void> =>
  publish(targetOf(layout, fleet), fence, target)

/** What a consumer says of itself; undefined where it is only about to. @throws WorkspaceError FORMAT_UNSUPPORTED */
export async function readState({ states }: ConsumerPlace): Promise<State | undefined> {
  return parse(states, State, await readPointer(states))
}

/** @throws WorkspaceError STALE_LOCK where another agent has the name */
export const publishState = ({ states }: ConsumerPlace, fence: Fence, state: State): Promise<void> =>
  publish(states, fence, state)

async function publish(folder: string, fence: Fence, value: object): Promise<void> {
  await publishFenced(folder, fence, JSON.stringify(value, null, 2))
  const entries = await listEntries(folder)
  for (const { name } of entries.slice(0, -KEPT)) await fs.unlink(join(folder, name)).catch(ignoreMissing)
}

function parse<T>(folder: string, schema: z.ZodMiniType<T>, data: Buffer | undefined): T | undefined {
  if (!data) return undefined
  const result = schema.safeParse(parseJson(data))
  if (result.success) return result.data
  throw new WorkspaceError('FORMAT_UNSUPPORTED', `${folder} is damaged or of another version`, {
    expected: result.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`).join('; '),
    found: data.toString().slice(0, 200),
    hint: 'use one version of the Tasks and agents for a fleet; nothing was changed',
  })
}

/** Whether a read failed since what was listed has been pruned or moved meanwhile: the next look tells. */
export const isGone = (error: unknown): boolean => ['ENOENT', 'ESTALE'].includes(errno(error) ?? '')
