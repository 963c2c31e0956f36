/** One tool on the shared volume for any number of consumers: found, brought by one of them, or waited for. */
import { WorkspaceError } from '../errors.ts'
import type { Emit } from '../events.ts'
import type { Identity } from '../identity.ts'
import { fenceOf, withLock, type Held, type LockBackend, type WithLockOptions } from '../locks/index.ts'
import { monotonic, wallNow } from '../platform/clock.ts'
import * as fs from '../platform/fs.ts'
import type { Liveness } from '../volume/liveness.ts'
import { moveToTrash } from '../volume/trash.ts'
import type { Volume } from '../volume/volume.ts'
import type { Source } from './bring.ts'
import type { Tool } from './find.ts'
import { titleOf, toolLock, toolPaths, type ToolName } from './layout.ts'
import { look, type Damage, type Found } from './look.ts'
import type { Recipe } from './make.ts'
import { requireChecksum } from './require-checksum.ts'
import { TUNING, type Tuning } from './tuning.ts'
import { waitForTool } from './wait.ts'

export interface InstallOptions {
  tool: ToolName
  source: Source
  recipe: Recipe
  /** Whether this consumer may download, or only waits for one that does. */
  mayDownload: boolean
  /** How long to wait for others, in ms. */
  timeoutMs: number
  identity: Identity
  liveness: Liveness
  emit: Emit
  signal: AbortSignal
  /** For tests. */
  tuning?: Partial<Tuning>
  locking?: Pick<WithLockOptions, 'tuning' | 'holding'>
}

export interface Installed {
  tool: Tool
  /** Whether it was there, or this consumer has brought it. */
  hit: 'shared' | 'downloaded'
  /** What this consumer has fetched. */
  bytes: number
  waitedMs: number
}

/** What all parts of an installation share. */
export interface Installation extends Omit<InstallOptions, 'tuning'> {
  volume: Volume
  /** For log lines: the pod. */
  consumer: string
  tuning: Tuning
  startedAt: number
}

/**
 * The tool, every byte verified, after a download by one consumer at the most. `locks` is asked for when it is not there.
 * @throws WorkspaceError TOOL_NOT_INSTALLED where nobody brought it in time, LOCK_NOT_ACQUIRED; DIGEST_MISMATCH,
 *   SOURCE_UNREACHABLE, ARCHIVE_UNSAFE, TOOL_BROKEN, USAGE; what the volume says; the signal's reason
 */
export async function installTool(
  volume: Volume,
  locks: () => Promise<LockBackend>,
  options: InstallOptions,
): Promise<Installed> {
  const tuning = { ...TUNING, ...options.tuning }
  const consumer = options.identity.pod.name
  const installation = { ...options, volume, consumer, tuning, startedAt: monotonic() }
  // Who names no checksum hears of it at once, not when it is this consumer's turn to download.
  if (options.mayDownload) requireChecksum(options.source.checksum, options.tool.name)
  const found = await lookFor(installation)
  if (found.tool) return shared(installation, found.tool)
  return options.mayDownload
    ? bringOrWait(installation, await locks(), found.damage)
    : waitOnly(installation, found.damage)
}

async function lookFor({ volume, tool, source }: Installation, read?: 'sizes'): Promise<Found> {
  const found = await look(volume, tool, source.checksum.sha256, read)
  // Retention goes by the last use. Who only waits may have the volume read-only.
  if (found.tool) await fs.utimes(found.tool.paths.folder, wallNow() / 1000).catch(() => undefined)
  return found
}

function shared({ consumer, tool, emit, startedAt }: Installation, found: Tool): Installed {
  const { digest } = found.marker
  emit({ event: 'tool-found', consumer, tool: titleOf(tool), path: found.paths.bin, digest })
  return { tool: found, hit: 'shared', bytes: 0, waitedMs: Math.round(monotonic() - startedAt) }
}

async function waitOnly(installation: Installation, damage: Damage | undefined): Promise<Installed> {
  for (let known = damage; ;) {
    await waitForTool(installation, { damage: known, untilQuiet: false })
    // Whoever made it has just read all of it; a hundred who have waited need not do so at once.
    const found = await lookFor(installation, 'sizes')
    if (found.tool) return shared(installation, found.tool)
    known = found.damage
  }
}

/** The first comes in at once. The others look how far it is, and get into the queue only if it stands still. */
async function bringOrWait(
  installation: Installation,
  locks: LockBackend,
  damage: Damage | undefined,
): Promise<Installed> {
  let known = damage
  for (let policy: 'skip' | 'wait' = 'skip'; ; policy = 'wait') {
    const brought = await underLock(installation, locks, { policy, damage: known })
    if (brought) return brought
    if (!(await waitForTool(installation, { damage: known, untilQuiet: true }))) continue
    const found = await lookFor(installation, 'sizes')
    if (found.tool) return shared(installation, found.tool)
    known = found.damage
  }
}

/** @returns undefined where another has the lock, or the tool showed up first */
async function underLock(
  installation: Installation,
  locks: LockBackend,
  { policy, damage }: { policy: 'skip' | 'wait'; damage: Damage | undefined },
): Promise<Installed | undefined> {
  const { tool, identity, liveness, emit, signal, locking, timeoutMs, startedAt } = installation
  const showedUp = new AbortController()
  const waiting = new AbortController()
  const watch = async (): Promise<void> => {
    await waitForTool({ ...installation, signal: waiting.signal }, { damage, untilQuiet: false })
    showedUp.abort()
  }
  // It ends by being stopped, or at the deadline, of which the lock tells as well.
  const watching = policy === 'wait' ? watch().catch(() => undefined) : undefined
  const left = Math.max(1, timeoutMs - (monotonic() - startedAt))
  const until = AbortSignal.any([signal, showedUp.signal])
  const terms = { policy, identity, liveness, emit, ...locking, timeoutMs: left, signal: until }
  try {
    const done = await withLock(locks, toolLock(tool), terms, (held) => {
      waiting.abort()
      return bringUnder(installation, locks, held)
    })
    return done.value
  } catch (error) {
    if (showedUp.signal.aborted && !signal.aborted) return undefined
    throw error
  } finally {
    waiting.abort()
    await watching
  }
}

async function bringUnder(installation: Installation, locks: LockBackend, held: Held): Promise<Installed> {
  const { volume, tool, identity, consumer, emit, startedAt } = installation
  const waitedMs = Math.round(monotonic() - startedAt)
  const found = await lookFor(installation)
  if (found.tool) return { ...shared(installation, found.tool), waitedMs }
  const names = { consumer, tool: titleOf(tool) }
  if (found.damage) {
    const { folder } = toolPaths(volume.layout, tool)
    const { why } = found.damage
    const trash = await moveToTrash(volume, folder, `damaged: ${why}`)
    emit({ event: 'tool-damaged', ...names, why, trash })
  }
  const fence = fenceOf(locks, { lock: toolLock(tool), epoch: held.epoch })
  // Those who find it, or only wait, need neither HTTP nor archives.
  const { bring } = await import('./bring.ts')
  const { made, fetched } = await bring({
    ...installation,
    by: `${identity.taskRun.kind} ${identity.taskRun.namespace}/${identity.taskRun.name} (pod ${consumer})`,
    epoch: held.epoch,
    check: () => fence.check(),
    signal: AbortSignal.any([installation.signal, held.lost]),
  })
  // What was just made is what was just read; what somebody else has put there is not.
  const there = made ?? (await lookFor(installation)).tool
  if (!there) throw vanished(installation)
  const { marker, paths } = there
  const bytes = marker.files.reduce((sum, file) => sum + (file.type === 'file' ? file.size : 0), 0)
  emit({ event: 'tool-installed', ...names, path: paths.bin, digest: marker.digest, bytes, fetched })
  return { tool: there, hit: 'downloaded', bytes: fetched, waitedMs }
}

const vanished = ({ tool, volume }: Installation): WorkspaceError =>
  new WorkspaceError('STORAGE_IO', `${titleOf(tool)} was installed, and is not there`, {
    expected: `the tool at ${toolPaths(volume.layout, tool).folder}`,
    found: 'nothing, or something damaged',
    hint: 'somebody else works in that folder, or the storage loses what it has taken',
  })
