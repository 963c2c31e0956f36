/**
 * Two processes on two nodes find out together, over the volume alone, whether names that one takes are taken for the
 * other: everything on the volume rests on that, locks most of all.
 */
import { join } from 'node:path'
import { WorkspaceError } from '../../errors.ts'
import type { Emit } from '../../events.ts'
import { monotonic, timestamp } from '../../platform/clock.ts'
import * as fs from '../../platform/fs.ts'
import { mountOf } from '../../platform/mounts.ts'
import * as z from '../../zod.ts'
import { checkName } from '../layout.ts'
import { TEMPORARY } from '../publish.ts'
import type { Volume } from '../volume.ts'
import { tryFlock } from './flock.ts'
import { violations } from './judge.ts'
import { openMeeting, type Meeting, type Side } from './meeting.ts'
import { namesFor, race, type Seen } from './races.ts'
import { recordAcrossNodes, type AcrossNodes } from './record.ts'

export interface ProbeOptions {
  /** The same for both sides, and new for each probe. */
  session: string
  side: Side
  /** The node that this side runs on. */
  node: string
  /** How long to wait for the other side, at the start and at each step. */
  patienceMs: number
  emit: Emit
  signal: AbortSignal
}

/** Each round begins at the same moment on both sides; a race within it is a matter of milliseconds. */
const ROUNDS = 10
const RACES_PER_ROUND = 20
const PINGS = 10

/**
 * Probes the volume together with the other side, and records on it what they found; both sides find the same.
 * @throws WorkspaceError STORAGE_IO where the other side is not heard of; USAGE where both are on one node.
 */
export async function probeAcrossNodes(volume: Volume, options: ProbeOptions): Promise<AcrossNodes> {
  const { session, side, node, patienceMs, emit, signal } = options
  // A temporary name, so that retention collects it where a side was killed.
  const folder = join(volume.layout.probes, `${TEMPORARY}across-${checkName(session, 'session')}`)
  const talk = join(folder, 'talk')
  await fs.mkdirp(talk)
  const meeting = openMeeting(talk, side, patienceMs, signal)
  const sides = await introduce(meeting, side, volume.id, { node, mount: await mountOf(folder) })
  const slowestAnswerMs = await measureAnswers(meeting, side)
  const flocked = await tryFlock(join(folder, 'flock'), meeting, side)
  const seen = await raceAll(folder, meeting, side)
  const reasons = violations({ seen, races: ROUNDS * RACES_PER_ROUND, slowestAnswerMs })
  const found: AcrossNodes = {
    v: 1,
    at: timestamp(),
    exclusion: reasons.length === 0 ? 'yes' : 'no',
    reasons,
    sides,
    races: ROUNDS * RACES_PER_ROUND,
    slowestAnswerMs: Math.round(slowestAnswerMs),
    flock: flocked,
  }
  if (side === 0) await recordAcrossNodes(volume, found)
  await meeting.tell('done')
  if (side === 0) {
    await meeting.hear('done')
    await fs.removeTree(folder)
  }
  const { exclusion, flock: by } = found
  emit({ event: 'probed-across-nodes', exclusion, nodes: sides.map((one) => one.node), reasons, flock: by })
  return found
}

const Introduction = z.object({
  volume: z.string(),
  node: z.string(),
  mount: z.object({ type: z.string(), source: z.string(), options: z.string() }),
})

async function introduce(
  meeting: Meeting,
  side: Side,
  volume: string,
  me: AcrossNodes['sides'][number],
): Promise<AcrossNodes['sides']> {
  const other = Introduction.parse(await meeting.exchange('here', { volume, ...me }))
  if (other.volume !== volume) {
    throw new WorkspaceError('STORAGE_UNSAFE', 'both sides of the probe meet, and see different volumes', {
      expected: `the volume ${volume}, as ${me.node} has it`,
      found: `the volume ${other.volume} on ${other.node}`,
      hint: 'keep locks as Leases (backend: lease)',
    })
  }
  if (other.node !== me.node) return bySide(side, me, { node: other.node, mount: other.mount })
  throw new WorkspaceError('USAGE', 'both sides of the probe run on one node', {
    expected: 'two nodes',
    found: me.node,
    hint: 'spread the pods, as maintenance/probe-locks.yaml does by their anti-affinity',
  })
}

/** The longest that a question of either side took to be answered. */
async function measureAnswers(meeting: Meeting, side: Side): Promise<number> {
  let slowest = 0
  for (let n = 0; n < 2 * PINGS; n++) {
    const asks = n % 2 === side
    const startedAt = monotonic()
    if (asks) await meeting.exchange(`ping-${n}`)
    else {
      await meeting.hear(`ping-${n}`)
      await meeting.tell(`ping-${n}`)
    }
    if (asks) slowest = Math.max(slowest, monotonic() - startedAt)
  }
  const other = z.number().parse(await meeting.exchange('slowest', slowest))
  return Math.max(slowest, other)
}

const SeenBySide = z.object({ won: z.array(z.string()), owners: z.record(z.string(), z.string()) })

async function raceAll(folder: string, meeting: Meeting, side: Side): Promise<[Seen, Seen]> {
  const all: Seen = { won: [], owners: {} }
  const names = namesFor(ROUNDS * RACES_PER_ROUND)
  for (let round = 0; round < ROUNDS; round++) {
    const these = names.filter((_, n) => n % ROUNDS === round)
    const seen = await race(join(folder, `races-${round}`), these, { side, meeting, point: `round-${round}` })
    all.won.push(...seen.won)
    Object.assign(all.owners, seen.owners)
  }
  return bySide(side, all, SeenBySide.parse(await meeting.exchange('seen', all)))
}

const bySide = <T>(side: Side, mine: T, other: T): [T, T] => (side === 0 ? [mine, other] : [other, mine])
