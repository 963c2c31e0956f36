/** What every kind of file system has in common once it is up. */
import { rm, rmdir } from 'node:fs/promises'
import { dirname } from 'node:path'
import { FILE_SYSTEMS, RUN } from '../cluster/base/paths.ts'
import { elapsed, say } from '../cluster/base/progress.ts'
import { exclusively } from '../cluster/native/lock.ts'
import { endProcesses, isAlive } from '../cluster/native/processes.ts'
import { requireRoot } from '../cluster/native/require.ts'
import { isMounted, unmount } from './mounts.ts'
import { leaveNodes } from './nodes.ts'
import { readState, runFolder, type FileSystemState } from './state.ts'

/** Says what runs, and the mounted folders on stdout. @returns the exit code: 0 up, 1 down, 2 not well. */
export async function status(kind: string): Promise<number> {
  const state = await readState(kind)
  if (!state) {
    say(`down: no ${kind} file system of ours runs on this machine`)
    return 1
  }
  const wrong = await troubles(state)
  if (wrong.length > 0) {
    say(`not well:\n  ${wrong.join('\n  ')}`)
    return 2
  }
  for (const { name, pid } of state.processes) say(`  ${String(pid).padStart(7)}  ${name}`)
  for (const client of state.nodeClients ?? [])
    say(`  ${(await isAlive(client)) ? String(client.pid).padStart(7) : '  ended'}  ${client.name}`)
  printMounts(state)
  return 0
}

/** One folder a line on stdout: what a script wants to know. */
export function printMounts({ mounts }: FileSystemState): void {
  process.stdout.write(`${mounts.join('\n')}\n`)
}

/** What is wrong with a file system, in words; empty when all is well. */
export async function troubles(state: FileSystemState): Promise<string[]> {
  const alive = await Promise.all(state.processes.map(isAlive))
  const wrong = state.processes
    .filter((_, index) => !alive[index])
    .map(({ name, log }) => `${name} ended (${log})`)
  if (!state.complete) wrong.push('its start did not come to an end')
  for (const folder of state.mounts) if (!(await isMounted(folder))) wrong.push(`${folder} is not mounted`)
  return wrong
}

export async function down(kind: string): Promise<void> {
  requireRoot(`a ${kind} file system`, 'do without it')
  const start = Date.now()
  await exclusively(`filesystem ${kind} down`, async () => {
    const state = await readState(kind)
    if (!state) return say(`No ${kind} file system of ours runs on this machine`)
    await remove(kind, state)
    say(`Down after ${elapsed(start)}: no process, mount or folder of it is left`)
  })
  await rmdir(RUN).catch(() => undefined)
}

/** Unmounts, ends every process and removes every folder. */
export async function remove(kind: string, state: FileSystemState): Promise<void> {
  await leaveNodes(kind, state)
  for (const folder of state.mounts) await unmount(folder)
  // No patience: there is nothing to save.
  await endProcesses(state.processes.toReversed(), 0)
  await rm(state.data, { recursive: true, force: true })
  await rmdir(dirname(state.data)).catch(() => undefined)
  await rm(runFolder(kind), { recursive: true, force: true })
  await rmdir(FILE_SYSTEMS).catch(() => undefined)
}
