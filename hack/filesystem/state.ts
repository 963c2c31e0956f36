import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { readIfThere, writeWhole } from '../cluster/base/files.ts'
import { CACHE, FILE_SYSTEMS } from '../cluster/base/paths.ts'
import type { ProcessRecord } from '../cluster/native/processes.ts'

/** What `up` made, written as it goes, so that `down` can undo even half of it. */
export interface FileSystemState {
  /** Set when every client has mounted it. */
  complete: boolean
  /** The processes of the servers, then of the clients, in the order of their start. */
  processes: ProcessRecord[]
  /** The folder of each client. */
  mounts: string[]
  /** The clients on the nodes of a cluster, since it was mounted there. They end with their node. */
  nodeClients?: ProcessRecord[]
  /** What the servers store, their logs. */
  data: string
}

/** The state, the configuration and the mounts of a kind: short paths, since sockets lie here. */
export const runFolder = (kind: string): string => join(FILE_SYSTEMS, kind)
const stateFile = (kind: string): string => join(runFolder(kind), 'state.json')

export async function newState(kind: string): Promise<FileSystemState> {
  const state: FileSystemState = {
    complete: false,
    processes: [],
    mounts: ['a', 'b'].map((name) => join(runFolder(kind), name)),
    data: join(CACHE, 'filesystem', kind),
  }
  for (const folder of [...state.mounts, state.data]) await mkdir(folder, { recursive: true })
  await writeState(kind, state)
  return state
}

export async function readState(kind: string): Promise<FileSystemState | undefined> {
  const text = await readIfThere(stateFile(kind))
  return text === undefined ? undefined : (JSON.parse(text) as FileSystemState)
}

export async function writeState(kind: string, state: FileSystemState): Promise<void> {
  await writeWhole(stateFile(kind), JSON.stringify(state, null, 2))
}
