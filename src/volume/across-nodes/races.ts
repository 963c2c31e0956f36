/** Both sides take the same names at the same time, by each of the ways that this product takes names. */
import { join } from 'node:path'
import { errno } from '../../errors.ts'
import * as fs from '../../platform/fs.ts'
import { publishText, readText } from '../short-text.ts'
import type { Meeting, Side } from './meeting.ts'

/** What one side saw of the races. */
export interface Seen {
  /** The names that it took. */
  won: string[]
  /** Whose content each name has, when both had ended. */
  owners: Record<string, string>
}

/** Takes a name, with content that says who did. @returns whether it was had */
type Take = (folder: string, name: string, side: Side) => Promise<boolean>

const mine = (folder: string, name: string, side: Side): string => join(folder, `${name}.of-${side}`)

const WAYS: Record<string, Take> = {
  async link(folder, name, side) {
    try {
      await fs.link(mine(folder, name, side), join(folder, name))
      return true
    } catch (error) {
      if (errno(error) !== 'EEXIST') throw error
      // The answer to a link that succeeded can be lost on NFS, as publishTemporary knows.
      return (await fs.lstat(mine(folder, name, side))).nlink === 2
    }
  },
  symlink: (folder, name, side) => publishText(join(folder, name), String(side)),
  async create(folder, name, side) {
    return unlessTaken(() => write(join(folder, name), side))
  },
  async rename(folder, name, side) {
    return unlessTaken(() => fs.rename(mine(folder, name, side), join(folder, name)))
  },
}

export const WAY_TITLES: Record<string, string> = {
  link: 'link(2)',
  symlink: 'symlink(2)',
  create: 'O_EXCL',
  rename: 'rename of a folder',
}
export const wayOf = (name: string): string => name.split('-')[0]!

/** The names of `count` races for each of the ways. */
export const namesFor = (count: number): string[] =>
  Object.keys(WAYS).flatMap((way) => Array.from({ length: count }, (_, n) => `${way}-${n}`))

/** Makes ready what the races need, meets the other side, races, and looks at the outcome once both have ended. */
export async function race(
  folder: string,
  names: readonly string[],
  { side, meeting, point }: { side: Side; meeting: Meeting; point: string },
): Promise<Seen> {
  await fs.mkdirp(folder)
  for (const name of names) await prepare(folder, name, side)
  await meeting.exchange(`${point}-ready`)
  const won: string[] = []
  // Each in its own order, so that neither is always the later one.
  for (const name of shuffled(names)) if (await WAYS[wayOf(name)]!(folder, name, side)) won.push(name)
  await meeting.exchange(`${point}-raced`)
  const owners: Record<string, string> = {}
  for (const name of names) owners[name] = await ownerOf(folder, name)
  return { won, owners }
}

async function prepare(folder: string, name: string, side: Side): Promise<void> {
  const own = mine(folder, name, side)
  if (wayOf(name) === 'link') await write(own, side)
  if (wayOf(name) !== 'rename') return
  await fs.mkdir(own)
  await write(join(own, 'owner'), side)
}

async function write(path: string, side: Side): Promise<void> {
  const handle = await fs.create(path)
  try {
    await fs.write(handle, Buffer.from(String(side)), path)
  } finally {
    await handle.close()
  }
}

async function unlessTaken(take: () => Promise<void>): Promise<boolean> {
  try {
    await take()
    return true
  } catch (error) {
    if (['EEXIST', 'ENOTEMPTY'].includes(errno(error) ?? '')) return false
    throw error
  }
}

async function ownerOf(folder: string, name: string): Promise<string> {
  const path = wayOf(name) === 'rename' ? join(folder, name, 'owner') : join(folder, name)
  try {
    if (wayOf(name) === 'symlink') return (await readText(path)) ?? 'ENOENT'
    return (await fs.readFile(path)).toString()
  } catch (error) {
    return errno(error) ?? String(error)
  }
}

function shuffled<T>(items: readonly T[]): T[] {
  return items
    .map((item) => ({ item, at: Math.random() }))
    .sort((a, b) => a.at - b.at)
    .map(({ item }) => item)
}
