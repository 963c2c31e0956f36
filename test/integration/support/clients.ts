/** Two clients of one real file system, as two nodes would have: those that `./run filesystem` mounted. */
import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { onTestFinished } from 'vitest'
import { isMounted } from '../../../hack/filesystem/mounts.ts'
import { readState } from '../../../hack/filesystem/state.ts'

/** The folders where the clients of that kind of file system are mounted; undefined where it is not up. */
export async function clientsOf(kind: string): Promise<[string, string] | undefined> {
  const state = await readState(kind)
  if (!state?.complete) return undefined
  const [a = '', b = ''] = state.mounts
  return (await isMounted(a)) && (await isMounted(b)) ? [a, b] : undefined
}

/** One new folder as each client sees it, gone when the test is over. */
export async function sharedFolder([a, b]: [string, string]): Promise<[string, string]> {
  const folder = await mkdtemp(join(a, 'test-'))
  onTestFinished(() => rm(folder, { recursive: true, force: true }))
  await chmod(folder, 0o2777)
  return [folder, join(b, basename(folder))]
}
