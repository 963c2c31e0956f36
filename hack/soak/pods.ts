/**
 * The cluster of a soak: each process is the pod of a run of its own, and the processes ask the product's own
 * liveness whether a run is over. A pod runs while its process has its file locked, which the kernel ends with the
 * process. A run is finished when its pod is gone, or when it was cancelled, which its pod may outlive.
 */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { errno } from '../../src/errors.ts'
import type { Identity, OwnerKind } from '../../src/identity.ts'
import { flock } from '../../src/platform/flock.ts'
import * as fs from '../../src/platform/fs.ts'
import type { Kube, KubeObject } from '../../src/platform/kube.ts'

/** The pod `id` in its `round`: a TaskRun of its own for each, as no hold is to be had again. */
export function identityOf(id: string, round: string): Identity {
  const owner = (kind: OwnerKind, name: string) => ({ kind, namespace: 'soak', name, uid: name })
  const name = `${id}-${round}`
  return {
    run: owner('PipelineRun', id),
    taskRun: owner('TaskRun', name),
    task: round,
    pod: { name, uid: name },
    node: 'this machine',
  }
}

/** Says that the pod `id` runs, for as long as this process lives. */
export async function beAlive(folder: string, id: string): Promise<void> {
  const handle = await fs.create(join(folder, id))
  await flock().tryLock(handle.fd, 'exclusive')
  kept.push(handle)
}
/** A handle that is forgotten gets closed, and with it the lock is free. */
const kept: fs.FileHandle[] = []

export const cancel = (folder: string, id: string): Promise<void> =>
  writeFile(join(folder, `${id}.cancelled`), '')

export function soakKube(folder: string): Kube {
  return {
    async get(_plural, _namespace, name) {
      const id = idOf(name)
      const finished = (await exists(join(folder, `${id}.cancelled`))) || !(await isRunning(folder, id))
      const conditions = [{ type: 'Succeeded', status: finished ? 'False' : 'Unknown' }]
      const status = finished ? { conditions, completionTime: 'now' } : { conditions }
      return { found: { metadata: { name, uid: name }, status } }
    },
    async list(_plural, _namespace, selector) {
      const id = idOf(selector.split('=')[1]!)
      const pod: KubeObject = { metadata: { name: id, uid: id }, status: { phase: 'Running' } }
      return { found: (await isRunning(folder, id)) ? [pod] : [] }
    },
  }
}

const idOf = (name: string): string => name.split('-')[0]!

async function isRunning(folder: string, id: string): Promise<boolean> {
  const handle = await fs.open(join(folder, id), 'r+')
  try {
    return !(await flock().tryLock(handle.fd, 'shared'))
  } finally {
    await handle.close()
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    await fs.stat(path)
    return true
  } catch (error) {
    if (errno(error) === 'ENOENT') return false
    throw error
  }
}
