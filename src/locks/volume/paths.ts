/** The files of one lock. */
import { join } from 'node:path'
import { errno, ignoreMissing } from '../../errors.ts'
import * as fs from '../../platform/fs.ts'
import type { Volume } from '../../volume/volume.ts'

export interface LockPaths {
  /** The lock's name. */
  name: string
  folder: string
  guard: string
  events: string
  snapshots: string
  heartbeats: string
}

export function pathsOf(volume: Volume, name: string): LockPaths {
  const folder = volume.layout.lock(name)
  return {
    name,
    folder,
    guard: join(folder, 'guard'),
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

/** Makes what a lock consists of where it is missing: the guard last, so that it stands for all of it. */
export async function prepare(paths: LockPaths): Promise<void> {
  if ((await fs.list(paths.folder)).some((entry) => entry.name === 'guard')) return
  for (const folder of [paths.events, paths.snapshots, paths.heartbeats]) await fs.mkdirp(folder)
  try {
    const handle = await fs.create(paths.guard)
    await handle.close()
  } catch (error) {
    if (errno(error) !== 'EEXIST') throw error
  }
}

/** Removes a file that others may remove too. */
export async function removeFile(path: string): Promise<void> {
  await fs.unlink(path).catch(ignoreMissing)
}
