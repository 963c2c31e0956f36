import { mkdir, readdir, rm, rmdir } from 'node:fs/promises'
import { join } from 'node:path'
import { readIfThere, writeWhole } from '../base/files.ts'
import { FILE_SYSTEMS, RUN, STATE_FILE } from '../base/paths.ts'
import type { ProcessRecord } from './processes.ts'

export interface NodeRecord {
  name: string
  /** The first process of the node's namespaces: when it ends, so does everything in them. */
  init: ProcessRecord
  /** As /proc/<pid>/ns names them, to find later who still is in them. */
  namespaces: { mnt: string; net: string; pid: string }
}

/** What `up` made, written as it goes, so that `down` can undo even half of it. */
export interface ClusterState {
  /** Process ids mean nothing after a reboot. */
  bootId: string
  /** The cache's folder of the one who started it, which may not be that of the one who ends it. */
  dataFolder: string
  /** Seconds since 1970. */
  startedAt: number
  /** Set when everything is ready. */
  complete: boolean
  /** In the order of their start. */
  processes: ProcessRecord[]
  nodes: NodeRecord[]
  /** Settings of the machine's kernel that the kubelet changes, with their values before. */
  sysctls: Record<string, string>
  /** Empty folders that were made to mount over. */
  mountPoints: string[]
}

export async function newState(dataFolder: string): Promise<ClusterState> {
  return {
    bootId: await bootId(),
    dataFolder,
    startedAt: Math.floor(Date.now() / 1000),
    complete: false,
    processes: [],
    nodes: [],
    sysctls: {},
    mountPoints: [],
  }
}

/** The state of the cluster that was started since the boot, or undefined. */
export async function readState(): Promise<ClusterState | undefined> {
  const text = await readIfThere(STATE_FILE)
  if (text === undefined) return undefined
  const state = JSON.parse(text) as ClusterState
  if (state.bootId === (await bootId())) return state
  // After a reboot nothing of it runs: only the folders are left to remove.
  return { ...state, processes: [], nodes: [], sysctls: {}, complete: false }
}

export async function writeState(state: ClusterState): Promise<void> {
  await mkdir(RUN, { recursive: true, mode: 0o755 })
  await writeWhole(STATE_FILE, JSON.stringify(state, null, 2), 0o600)
}

/** File systems of `./run filesystem` are mounted below it and outlive the cluster. */
export async function removeRunFolder(): Promise<void> {
  for (const name of await readdir(RUN)) {
    if (join(RUN, name) !== FILE_SYSTEMS) await rm(join(RUN, name), { recursive: true, force: true })
  }
  await rmdir(RUN).catch(() => undefined)
}

async function bootId(): Promise<string> {
  return ((await readIfThere('/proc/sys/kernel/random/boot_id')) ?? '').trim()
}
