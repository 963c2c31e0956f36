/** A process that stores and retrieves as it is told over IPC, and that may be told to die at an operation. */
import { toWorkspaceError } from '../../src/errors.ts'
import { injectFault } from '../../src/platform/fs.ts'
import { retrieveArtifacts, storeArtifact } from '../../src/artifacts/index.ts'
import { opened } from '../../src/stores/open.ts'
import { volumeArtifacts } from '../../src/stores/volume-artifacts.ts'
import { openVolume } from '../../src/volume/volume.ts'
import type { Identity } from '../../src/identity.ts'

export interface Order {
  root: string
  identity: Identity
  output: string
  /** Stores this folder … */
  source?: string
  /** … or retrieves build/<output> into this one. */
  target?: string
  waitMs?: number
  /** Kills the process, as SIGKILL does, before its nth file operation. */
  dieAt?: number
}

export interface Answer {
  digest?: string
  error?: string
  /** File operations that it took. */
  operations: number
}

process.on('message', (order: Order) => void obey(order))

async function obey({ root, identity, output, source, target, waitMs, dieAt }: Order): Promise<void> {
  let operations = 0
  injectFault(() => {
    if (++operations === dieAt) process.kill(process.pid, 'SIGKILL')
  })
  const volume = await openVolume(root)
  const stores = [opened(volumeArtifacts(volume))]
  const common = { stores, identity, emit: () => {}, signal: new AbortController().signal }
  if (waitMs) await new Promise((resolve) => setTimeout(resolve, waitMs))
  const chosen = { files: [], strip: 0, conflicts: 'fail' as const, optional: false }
  const wanted = { artifacts: [`build/${output}`], run: '', ...chosen }
  try {
    const { digest } = source
      ? await storeArtifact({ ...common, source, output, overwrite: false })
      : (await retrieveArtifacts({ ...common, ...wanted, target: target ?? '' })).artifacts[0]!
    process.send?.({ digest, operations } satisfies Answer)
  } catch (error) {
    process.send?.({ error: toWorkspaceError(error).code, operations } satisfies Answer)
  }
}
