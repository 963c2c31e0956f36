/** A process that saves or restores as it is told over IPC, and that may be told to die at an operation. */
import { restoreCache, saveCache } from '../../src/cache/index.ts'
import { toWorkspaceError } from '../../src/errors.ts'
import type { Event } from '../../src/events.ts'
import type { Identity } from '../../src/identity.ts'
import { injectFault } from '../../src/platform/fs.ts'
import { volumeArtifacts } from '../../src/stores/volume-artifacts.ts'
import { openVolume } from '../../src/volume/volume.ts'

export interface Order {
  root: string
  identity: Identity
  key: string
  /** Saves this folder … */
  source?: string
  maxBytes?: number
  /** … or restores into this one. */
  target?: string
  waitMs?: number
  /** Kills the process, as SIGKILL does, before its nth file operation. */
  dieAt?: number
}

export interface Answer {
  /** Undefined for a miss, and where nothing was saved. */
  digest: string | undefined
  error?: string
  events: Event[]
  /** File operations that it took. */
  operations: number
}

process.on('message', (order: Order) => void obey(order))

async function obey({ root, dieAt, waitMs, source, target, ...order }: Order): Promise<void> {
  let operations = 0
  const events: Event[] = []
  injectFault(() => {
    if (++operations === dieAt) process.kill(process.pid, 'SIGKILL')
  })
  const volume = await openVolume(root)
  const common = {
    ...order,
    store: volumeArtifacts(volume),
    emit: (event: Event) => void events.push(event),
    signal: new AbortController().signal,
  }
  if (waitMs) await new Promise((resolve) => setTimeout(resolve, waitMs))
  const { layout } = volume
  const { maxBytes = Number.MAX_SAFE_INTEGER } = order
  try {
    const done = source
      ? await saveCache({ ...common, layout, scope: 'main', source, maxBytes })
      : await restoreCache({
          ...common,
          prefixes: [],
          scopes: { own: 'main', fallbacks: [] },
          target: target ?? '',
        })
    process.send?.({ digest: done?.digest, events, operations } satisfies Answer)
  } catch (error) {
    const { code, message } = toWorkspaceError(error)
    process.send?.({ digest: undefined, error: `${code}: ${message}`, events, operations } satisfies Answer)
  }
}
