import { mkdir, open, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { readIfThere } from '../base/files.ts'
import { RUN } from '../base/paths.ts'
import { Problem } from '../base/problem.ts'
import { isAlive, recordOf, type ProcessRecord } from './processes.ts'

const LOCK = join(RUN, 'changing')

/** Lets only one process start or end the machine's cluster or a file system at a time. */
export async function exclusively<T>(verb: string, work: () => Promise<T>): Promise<T> {
  await mkdir(RUN, { recursive: true })
  await dropDeadLock()
  const me = JSON.stringify(await recordOf(verb, process.pid, ''))
  const file = await open(LOCK, 'wx', 0o600).catch((error: unknown) => {
    throw new Problem('another one is starting or ending the cluster or a file system', {
      fix: 'wait for it to end',
      cause: error,
    })
  })
  try {
    await file.writeFile(me)
    return await work()
  } finally {
    await file.close()
    await rm(LOCK, { force: true })
  }
}

async function dropDeadLock(): Promise<void> {
  const text = await readIfThere(LOCK)
  if (text === undefined) return
  const holder = (text === '' ? { name: '?', pid: 0, startTime: '' } : JSON.parse(text)) as ProcessRecord
  if (await isAlive(holder)) {
    throw new Problem('the cluster or a file system is being changed by another process', {
      found: `"${holder.name}" of process ${holder.pid}`,
      fix: 'wait for it to end',
    })
  }
  await rm(LOCK, { force: true })
}
