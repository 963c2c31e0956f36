/**
 * The status of a run and of its agents: entries that are only ever added, and the document that is a view of
 * them. `metadata/run.json` says who the run is and never changes.
 */
import { join } from 'node:path'
import * as z from '../zod.ts'
import { WorkspaceError } from '../errors.ts'
import type { Owner } from '../identity.ts'
import { timestamp } from '../platform/clock.ts'
import * as fs from '../platform/fs.ts'
import { checkName } from './layout.ts'
import { listEntries, publishEntry, publishFile, type Entry } from './publish.ts'
import { readJson } from './read-json.ts'

export const PHASES = ['Pending', 'Running', 'Succeeded', 'Failed', 'Cancelled'] as const
export type Phase = (typeof PHASES)[number]

const RunFile = z.object({
  v: z.literal(1),
  owner: z.object({
    kind: z.enum(['PipelineRun', 'TaskRun', 'Pod', 'LocalRun']),
    namespace: z.string(),
    name: z.string(),
    uid: z.string(),
  }),
  createdAt: z.string(),
  template: z.optional(z.string()),
})
export type RunFile = z.infer<typeof RunFile>

const StatusEntry = z.object({
  v: z.literal(1),
  phase: z.enum(PHASES),
  message: z.string(),
  at: z.string(),
  /** The task that said so. */
  by: z.string(),
  /** A closed run expects no more work; maintenance may move it once nothing of it is alive. */
  closed: z.optional(z.boolean()),
})
export type StatusEntry = z.infer<typeof StatusEntry>

/** The status document, version 1: what `workspace-status` prints as JSON. */
export interface StatusDocument {
  v: 1
  run: Owner
  createdAt: string
  phase: Phase
  message: string
  updatedAt: string
  closed: boolean
  agents: Record<string, StatusEntry>
}

const phasesOf = (runFolder: string): string => join(runFolder, 'metadata', 'phases')
const agentOf = (runFolder: string, agent: string): string =>
  join(runFolder, 'metadata', 'agents', checkName(agent, 'agent'))

export async function writeRunFile(runFolder: string, owner: Owner, template?: string): Promise<void> {
  const file: RunFile = { v: 1, owner, createdAt: timestamp(), ...(template ? { template } : {}) }
  await publishFile(join(runFolder, 'metadata', 'run.json'), JSON.stringify(file, null, 2))
}

/** @throws WorkspaceError RUN_NOT_FOUND where the folder is not a run's. */
export async function readRunFile(runFolder: string): Promise<RunFile> {
  const file = await readJson(join(runFolder, 'metadata', 'run.json'), RunFile)
  if (file) return file
  throw new WorkspaceError('RUN_NOT_FOUND', `there is no run at ${runFolder}`, {
    expected: 'a folder that workspace-init made, with metadata/run.json',
    found: 'none',
    hint: 'run workspace-init before it, or name another run',
  })
}

/** Adds a status of the run, or of one of its agents. */
export async function setStatus(
  runFolder: string,
  agent: string | undefined,
  status: Omit<StatusEntry, 'v' | 'at'>,
): Promise<void> {
  await readRunFile(runFolder)
  const folder = agent ? agentOf(runFolder, agent) : phasesOf(runFolder)
  await publishEntry(folder, 0, async (entries, path) => {
    // A closed run stays closed, whatever a task beside the closing one still says.
    const last = await lastOf(folder, entries)
    const closed = status.closed || last?.closed ? { closed: true } : {}
    const entry: StatusEntry = { v: 1, at: timestamp(), ...status, ...closed }
    return publishFile(path, JSON.stringify(entry, null, 2))
  })
}

/** The whole status of a run. @throws WorkspaceError RUN_NOT_FOUND */
export async function readStatus(runFolder: string): Promise<StatusDocument> {
  const { owner, createdAt } = await readRunFile(runFolder)
  const last = await lastEntry(phasesOf(runFolder))
  const agents: Record<string, StatusEntry> = {}
  for (const item of await fs.list(join(runFolder, 'metadata', 'agents'))) {
    const entry = item.isDirectory() ? await lastEntry(agentOf(runFolder, item.name)) : undefined
    if (entry) agents[item.name] = entry
  }
  return {
    v: 1,
    run: owner,
    createdAt,
    phase: last?.phase ?? 'Pending',
    message: last?.message ?? '',
    updatedAt: last?.at ?? createdAt,
    closed: last?.closed ?? false,
    agents,
  }
}

async function lastEntry(folder: string): Promise<StatusEntry | undefined> {
  return lastOf(folder, await listEntries(folder))
}

async function lastOf(folder: string, entries: readonly Entry[]): Promise<StatusEntry | undefined> {
  const last = entries.at(-1)
  return last && readJson(join(folder, last.name), StatusEntry)
}

/** The status document as lines for people. */
export function formatStatus(status: StatusDocument): string {
  const head = `run ${status.run.namespace}/${status.run.name} (${status.run.uid})`
  const rows = [['', status.phase + (status.closed ? ', closed' : ''), status.updatedAt, status.message]]
  for (const [agent, entry] of Object.entries(status.agents))
    rows.push([agent, entry.phase, entry.at, entry.message])
  const widths = [0, 1, 2].map((column) => Math.max(...rows.map((row) => row[column]!.length)))
  return [
    head,
    ...rows.map((row) =>
      row
        .map((cell, i) => cell.padEnd(widths[i] ?? 0))
        .join('  ')
        .trimEnd(),
    ),
  ].join('\n')
}
