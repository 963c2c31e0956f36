/**
 * A holder that stands still in the middle of publishing: it acquires, beats, begins to publish with its fence, and
 * stops itself with SIGSTOP before the file operation that it was told. Once continued it goes on as if nothing had
 * happened, and prints how that ended.
 */
import { join } from 'node:path'
import { storeArtifact } from '../../src/artifacts/index.ts'
import { toWorkspaceError } from '../../src/errors.ts'
import { acquire, fenceOf, volumeLocks } from '../../src/locks/index.ts'
import { injectFault } from '../../src/platform/fs.ts'
import { archiveRun } from '../../src/retention/archive.ts'
import { opened } from '../../src/stores/open.ts'
import { volumeArtifacts } from '../../src/stores/volume-artifacts.ts'
import { publishFenced, type Fence } from '../../src/volume/fence.ts'
import { openVolume, type Volume } from '../../src/volume/volume.ts'
import { FAST, identityOf, LOCK } from './support.ts'

export interface FencedOptions {
  root: string
  what: 'pointer' | 'artifact' | 'archive'
  run: string
  text: string
  /** `<operation> <end of the path>` */
  stopBefore?: string
}

export const HEARTBEAT = { everyMs: 50, ttlMs: 600 }

export const pointerOf = ({ layout }: Volume): string => join(layout.root, 'pointer')

/** Publishes `text`, or archives the run, with the fence. */
export async function publish(
  volume: Volume,
  { what, run, text }: FencedOptions,
  fence: Fence,
): Promise<unknown> {
  if (what === 'pointer') return publishFenced(pointerOf(volume), fence, text)
  if (what === 'archive') return archiveRun(volume, `uid-of-${run}`, fence)
  return storeArtifact({
    stores: [opened(volumeArtifacts(volume))],
    // The attempts of one task store one output.
    identity: identityOf('shop', 'build'),
    source: join(volume.layout.root, text),
    output: 'out',
    overwrite: false,
    fence,
    emit: () => {},
    signal: new AbortController().signal,
  })
}

async function main(options: FencedOptions): Promise<void> {
  const volume = await openVolume(options.root)
  const locks = volumeLocks(volume, FAST)
  const held = await acquire(locks, LOCK, {
    identity: identityOf(options.run, 'deploy'),
    scope: 'task',
    policy: 'fail',
    timeoutMs: 1_000,
    heartbeat: HEARTBEAT,
    liveness: async () => ({ state: 'alive', why: 'it is here' }),
    emit: () => {},
    signal: new AbortController().signal,
    tuning: FAST,
  })
  if (!held.acquired) throw new Error('the policy fail never skips')
  const beating = locks.open(LOCK).startBeating(held.ticket, HEARTBEAT.everyMs)
  const [operation, end = ''] = options.stopBefore?.split(' ') ?? []
  let stopped = false
  injectFault((now, path) => {
    if (stopped || now !== operation || !path.endsWith(end)) return
    stopped = true
    process.kill(process.pid, 'SIGSTOP')
  })
  try {
    await publish(volume, options, fenceOf(locks, { lock: LOCK, epoch: held.epoch }))
    console.log('published')
  } catch (error) {
    console.log(toWorkspaceError(error).code)
  }
  await beating.stop()
}

const given = process.argv[2]
if (given?.startsWith('{')) await main(JSON.parse(given) as FencedOptions)
