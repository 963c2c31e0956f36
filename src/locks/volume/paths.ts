/** The files of one lock. */
import { join } from 'node:path'
import { ignoreMissing } from '../../errors.ts'
import * as fs from '../../platform/fs.ts'
import type { Volume } from '../../volume/volume.ts'

export interface LockPaths {
  /** The lock's name. */
  name: string
  folder: string
  events: string
  snapshots: string
  heartbeats: string
}

export function pathsOf(volume: Volume, name: string): LockPaths {
  const folder = volume.layout.lock(name)
  return {
    name,
    folder,
    events: join(folder, 'events'),
    snapshots: join(folder, 'snapshot'),
    heartbeats: join(folder, 'heartbeats'),
  }
}

const DIGITS = 12

/** The file of event or snapshot number `seq`; zero-padded, so that people see them in order. */
export const numbered = (folder: string, seq: number): string =>
  join(folder, String(seq).padStart(DIGITS, '0'))

/** The numbers in a folder, lowest first. Lists, as only a listing is fresh on NFS. */
export async function listNumbers(folder: string): Promise<number[]> {
  const names = (await fs.list(folder)).map((entry) => entry.name).filter((name) => /^\d+$/.test(name))
  return names.map(Number).sort((a, b) => a - b)
}

/** Makes what a lock consists of where it is missing. */
export async function prepare(paths: LockPaths): Promise<void> {
  const folders = [paths.events, paths.snapshots, paths.heartbeats]
  const there = (await fs.list(paths.folder)).map((entry) => join(paths.folder, entry.name))
  for (const folder of folders) if (!there.includes(folder)) await fs.mkdirp(folder)
}

/** Removes a file that others may remove too. */
export async function removeFile(path: string): Promise<void> {
  await fs.unlink(path).catch(ignoreMissing)
}
