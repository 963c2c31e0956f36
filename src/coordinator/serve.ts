/** The coordinator: one disk, laid out as a shared volume, served over HTTP to those who have the token. */
import { join } from 'node:path'
import { toWorkspaceError } from '../errors.ts'
import type { Emit } from '../events.ts'
import { monotonic, sleep } from '../platform/clock.ts'
import * as fs from '../platform/fs.ts'
import { startHttpServer, type HttpServer } from '../platform/http-server.ts'
import { volumeArtifacts } from '../stores/volume-artifacts.ts'
import { ensureVolume } from '../volume/volume.ts'
import { accessByTokens } from './access.ts'
import type { Settings } from './contract.ts'
import { handler } from './handle.ts'
import { ownDisk } from './owner.ts'
import { applyRetention } from './retention.ts'
import type { Kept } from './routes.ts'
import { spaceOf } from './space.ts'
import { uploadsOn } from './uploads.ts'

export interface Coordinator {
  port: number
  /** Takes no more requests and ends within 25 s: what is under way may finish in 20 of them, the rest is cut. */
  stop(why: string): Promise<void>
}

const LIMITS = { headersMs: 10_000, requestMs: 120_000, idleMs: 60_000, connections: 512 }
/** Kubernetes' grace is 30 s. */
const DRAIN_MS = 20_000
const EXPIRE_EVERY_MS = 10_000

/** @throws WorkspaceError USAGE, STORAGE_NOT_MOUNTED, FORMAT_UNSUPPORTED; an error of the port that is taken */
export async function startCoordinator(
  settings: Settings,
  emit: Emit,
  signal: AbortSignal,
): Promise<Coordinator> {
  const access = await accessByTokens(settings.TOKENS)
  const volume = await ensureVolume(settings.FOLDER, emit)
  const disown = await ownDisk(volume.layout, signal)
  const kept = await openDisk(volume, settings, emit)
  const ending = new AbortController()
  const unready = async (): Promise<string | undefined> => {
    if (ending.signal.aborted) return 'stopping'
    return fs.stat(volume.layout.marker).then(
      () => undefined,
      () => 'the disk does not answer',
    )
  }
  const server = await listen(settings, handler({ kept, access, unready, emit }))
  emit({ event: 'coordinator-started', port: server.port, volumeId: volume.id, tls: Boolean(settings.TLS) })
  const chores = lookAfter(kept, settings, ending.signal)
  return {
    port: server.port,
    async stop(why) {
      const began = monotonic()
      emit({ event: 'coordinator-stopping', why })
      ending.abort()
      await server.stop(DRAIN_MS)
      await chores
      await disown()
      emit({ event: 'coordinator-stopped', afterMs: Math.round(monotonic() - began) })
    },
  }
}

async function openDisk(volume: Kept['volume'], settings: Settings, emit: Emit): Promise<Kept> {
  const { CAPACITY, RESERVE, MAX_BLOB: maxBlob, MAX_UPLOADS: maxUploads, UPLOAD_IDLE: idleMs } = settings
  const { layout } = volume
  const store = volumeArtifacts(volume)
  const space = await spaceOf(layout.root, CAPACITY, RESERVE)
  const uploads = await uploadsOn({ layout, blobs: store.blobs, space, maxBlob, maxUploads, idleMs, emit })
  return { volume, store, uploads, space, emit }
}

async function listen(settings: Settings, handle: ReturnType<typeof handler>): Promise<HttpServer> {
  const { HOST: host, PORT: port, TLS } = settings
  // As a Secret of type kubernetes.io/tls has them.
  const tls = TLS
    ? { cert: await fs.readFile(join(TLS, 'tls.crt')), key: await fs.readFile(join(TLS, 'tls.key')) }
    : undefined
  return startHttpServer({ host, port, tls, limits: LIMITS, handle })
}

/** What has to be done again and again until the end. */
async function lookAfter(kept: Kept, settings: Settings, end: AbortSignal): Promise<void> {
  const { volume, uploads, space, emit } = kept
  const every = async (ms: number, work: () => Promise<void>): Promise<void> => {
    while (await wait(ms, end)) {
      await work().catch((error: unknown) => {
        if (end.aborted) return
        emit({ event: 'warning', about: 'maintenance of the disk', detail: toWorkspaceError(error).message })
      })
    }
  }
  await Promise.all([
    every(Math.min(EXPIRE_EVERY_MS, settings.UPLOAD_IDLE), () => uploads.expire()),
    every(settings.CLEANUP_EVERY, async () => {
      await applyRetention(volume, settings.CLEANUP_DAYS, emit, end)
      await space.recount()
    }),
  ])
}

/** @returns false where the end came first */
const wait = (ms: number, end: AbortSignal): Promise<boolean> =>
  sleep(ms, end).then(
    () => true,
    () => false,
  )
