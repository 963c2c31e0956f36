/**
 * A holder that stands still in the middle of publishing: it acquires, beats, begins to publish with its fence, and
 * before the file operation that it was told it stops itself with SIGSTOP, or has a command cut it off. Once continued
 * or healed it goes on as if nothing had happened, and prints how that ended.
 */
import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { storeArtifact } from '../../src/artifacts/index.ts'
import { toWorkspaceError } from '../../src/errors.ts'
import { acquire, fenceOf, volumeLocks } from '../../src/locks/index.ts'
import { TUNING } from '../../src/locks/tuning.ts'
import { injectFault } from '../../src/platform/fs.ts'
import { archiveRun } from '../../src/retention/archive.ts'
import { opened } from '../../src/stores/open.ts'
import { volumeArtifacts } from '../../src/stores/volume-artifacts.ts'
import { publishFenced, type Fence } from '../../src/volume/fence.ts'
import { openVolume, type Volume } from '../../src/volume/volume.ts'
import { FAST, identityOf, LOCK } from './people.ts'

export interface FencedOptions {
  root: string
  what: 'pointer' | 'artifact' | 'archive'
  run: string
  text: string
  /** `<operation> <end of the path>` */
  stopBefore?: string
  /** What cuts it off then, in place of SIGSTOP. */
  cut?: string[]
  /** Whether this is a slow file system. */
  slow?: true
}

const HEARTBEAT = { everyMs: 50, ttlMs: 600 }
/** Where a file operation takes long. */
const SLOW_HEARTBEAT = { everyMs: 1_000, ttlMs: 6_000 }

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
  const [tuning, heartbeat] = options.slow ? [TUNING, SLOW_HEARTBEAT] : [FAST, HEARTBEAT]
  const locks = volumeLocks(volume, tuning)
  const held = await acquire(locks, LOCK, {
    identity: identityOf(options.run, 'deploy'),
    scope: 'task',
    policy: 'fail',
    timeoutMs: 10_000,
    heartbeat,
    liveness: async () => ({ state: 'alive', why: 'it is here' }),
    emit: () => {},
    signal: new AbortController().signal,
    tuning,
  })
  if (!held.acquired) throw new Error('the policy fail never skips')
  const beating = locks.open(LOCK).startBeating(held.ticket, heartbeat.everyMs)
  const [operation, end = ''] = options.stopBefore?.split(' ') ?? []
  let stopped = false
  injectFault((now, path) => {
    if (stopped || now !== operation || !path.endsWith(end)) return
    stopped = true
    const [command, ...args] = options.cut ?? []
    if (command) execFileSync(command, args)
    else process.kill(process.pid, 'SIGSTOP')
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
