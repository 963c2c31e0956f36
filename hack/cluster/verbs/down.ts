import { elapsed, say } from '../base/progress.ts'
import { exclusively } from '../native/lock.ts'
import { requireRoot } from '../native/require.ts'
import { readState } from '../native/state.ts'
import { stopCluster } from '../native/stop.ts'

export async function down(): Promise<void> {
  requireRoot()
  const start = Date.now()
  await exclusively('down', async () => {
    const state = await readState()
    if (!state) return say('No native cluster runs on this machine')
    await stopCluster(state)
    say(`Down after ${elapsed(start)}: no process, mount, link or cgroup of it is left`)
  })
}
