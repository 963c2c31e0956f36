import { mkdir, rm, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { execa } from 'execa'
import { DATA, KUBECONFIG, RUN_BIN } from '../base/paths.ts'
import { binary } from '../binaries/components.ts'

/** Runs our kubectl against the native cluster, with no influence of the caller's own settings. */
export async function kubectl(args: readonly string[], input?: string): Promise<string> {
  const env = { KUBECONFIG, PATH: process.env['PATH'] ?? '', HOME: DATA, NO_PROXY: '*' }
  const { stdout } = await execa(join(RUN_BIN, 'kubectl'), args, {
    env,
    extendEnv: false,
    ...(input && { input }),
  })
  return stdout
}

/** Links the clients into the run folder, where everyone finds them as long as the cluster is up. */
export async function linkClients(): Promise<void> {
  await mkdir(RUN_BIN, { recursive: true })
  for (const name of ['kubectl', 'tkn']) {
    await rm(join(RUN_BIN, name), { force: true })
    await symlink(binary(name), join(RUN_BIN, name))
  }
}
