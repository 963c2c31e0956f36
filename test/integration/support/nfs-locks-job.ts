/** Runs inside the machine of `./run filesystem nfs`: what locks are worth between its two clients. */
import { execFile, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { promisify } from 'node:util'
import type { Contender, Turn } from '../../../hack/bench/locks/contender.ts'
import { retrieveArtifacts } from '../../../src/artifacts/index.ts'
import { acquire, fenceOf, volumeLocks } from '../../../src/locks/index.ts'
import { opened } from '../../../src/stores/open.ts'
import { volumeArtifacts } from '../../../src/stores/volume-artifacts.ts'
import { readPointer } from '../../../src/volume/fence.ts'
import { ensureVolume, type Volume } from '../../../src/volume/volume.ts'
import { pointerOf, publish, type FencedOptions } from '../../locks/fenced-worker.ts'
import { identityOf, LOCK } from '../../locks/people.ts'

export interface LateWrite {
  /** What the holder said that was cut off while it published. */
  old: string
  takeover: string
  /** What a reader sees after all that the old one sent has arrived. */
  read: string | undefined
}

export interface NfsLocksFacts {
  /** The exit codes of both sides of the probe. */
  probe: number[]
  late: Record<string, LateWrite>
  /** Milliseconds that the lock was nobody's, with two waiters, sorted. */
  handOffs: number[]
  /** The report of the soak. */
  soak: unknown
}

const mounts = { a: process.env['MOUNT_A']!, b: process.env['MOUNT_B']! }
const signal = new AbortController().signal
const emit = (): void => {}

async function ended(program: string, args: string[], env: Record<string, string> = {}): Promise<number> {
  const stdio = ['ignore', 'inherit', 'inherit'] as const
  const child = spawn('node', [program, ...args], { stdio: [...stdio], env: { ...process.env, ...env } })
  const [code] = (await once(child, 'exit')) as [number]
  return code
}

/** A volume that both clients know of. */
async function newVolume(name: string): Promise<Volume> {
  await mkdir(join(mounts.a, name))
  const volume = await ensureVolume(join(mounts.a, name), emit)
  await readdir(mounts.b)
  return volume
}

async function probe(): Promise<number[]> {
  await newVolume('probed')
  return Promise.all(
    (['a', 'b'] as const).map((node, side) =>
      ended('probe-locks.mjs', [], {
        PROBE_FOLDER: join(mounts[node], 'probed'),
        PROBE_SESSION: 's1',
        PROBE_SIDE: String(side),
        PROBE_NODE: node,
        PROBE_PATIENCE: '120s',
      }),
    ),
  )
}

const readers = {
  pointer: async (volume: Volume) => (await readPointer(pointerOf(volume)))?.toString(),
  async artifact(volume: Volume) {
    const target = '/tmp/retrieved'
    const stores = [opened(volumeArtifacts(volume))]
    const identity = identityOf('shop', 'use')
    await retrieveArtifacts({
      stores,
      target,
      identity,
      artifacts: ['build/out'],
      run: '',
      files: [],
      strip: 0,
      conflicts: 'fail',
      optional: false,
      emit,
      signal,
    })
    return readFile(join(target, 'file'), 'utf8')
  },
}

/** The holder on b is cut off right before an operation of its publishing, which its client sends again when it can. */
async function lateWrite(what: 'pointer' | 'artifact', before: string): Promise<LateWrite> {
  const name = `late-${what}`
  const volume = await newVolume(name)
  for (const word of ['old', 'new']) {
    await mkdir(join(volume.layout.root, word))
    await writeFile(join(volume.layout.root, word, 'file'), word)
  }
  const options: FencedOptions = {
    root: join(mounts.b, name),
    what,
    run: 'old',
    text: 'old',
    stopBefore: before,
    cut: ['cut-network', 'b'],
    slow: true,
  }
  const holder = spawn('node', ['fenced-worker.mjs', JSON.stringify(options)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const said = text(holder.stdout)
  await isCut()
  const locks = volumeLocks(volume)
  let takeover = ''
  const held = await acquire(locks, LOCK, {
    identity: identityOf('new', 'deploy'),
    scope: 'task',
    policy: 'wait',
    timeoutMs: 120_000,
    maxHoldMs: 3_600_000,
    liveness: () => Promise.resolve({ state: 'alive', why: 'nobody says otherwise' }),
    emit: (event) => {
      if (event.event === 'lock-taken-over') takeover = event.evidence
    },
    signal,
  })
  if (!held.acquired) throw new Error('the policy wait never skips')
  const fence = fenceOf(locks, { lock: LOCK, epoch: held.epoch })
  await publish(volume, { root: '', what, run: 'new', text: 'new' }, fence)
  execFileSync('heal-network', ['b'])
  const old = (await said).trim()
  return { old, takeover, read: await readers[what](volume) }
}

async function isCut(): Promise<void> {
  for (;;) {
    const { stdout } = await promisify(execFile)('ip', ['link', 'show', 'to-b'])
    if (!/[<,]UP[,>]/.test(stdout)) return
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
}

async function handOffs(): Promise<number[]> {
  await newVolume('hand-off')
  const turns = await Promise.all(
    [mounts.a, mounts.b, mounts.a].map(async (mount) => {
      const load: Contender = { way: 'ours', folder: join(mount, 'hand-off'), turns: 20, holdMs: 100 }
      const child = spawn('node', ['contender.mjs', JSON.stringify(load)], {
        stdio: ['ignore', 'pipe', 'inherit'],
      })
      const lines = (await text(child.stdout)).trim().split('\n')
      return lines.map((line) => JSON.parse(line) as Turn)
    }),
  )
  const inOrder = turns
    .flat()
    .sort((a, b) => a.acquired - b.acquired)
    .slice(2, -2)
  const gaps = inOrder.slice(1).map(({ acquired }, n) => Math.round(acquired - inOrder[n]!.released))
  return gaps.sort((a, b) => a - b)
}

async function soak(args: string[]): Promise<unknown> {
  const cut = ['--cut', 'cut-network b', '--heal', 'heal-network b']
  const report = '/tmp/soak.json'
  await ended('soak.mjs', ['--folder', mounts.a, '--second', mounts.b, ...cut, ...args, '--report', report])
  return JSON.parse(await readFile(report, 'utf8'))
}

const facts: NfsLocksFacts = {
  probe: await probe(),
  late: {
    pointer: await lateWrite('pointer', 'link /pointer/1.1'),
    artifact: await lateWrite('artifact', 'rename /build/out/1.1'),
  },
  handOffs: await handOffs(),
  soak: await soak(process.argv.slice(2)),
}
await mkdir('/job/out', { recursive: true })
await writeFile('/job/out/facts.json', JSON.stringify(facts, null, 2))
