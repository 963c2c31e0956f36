/** A process that does one thing to a volume again and again, until it is told to stop, or to die at an operation. */
import { mkdir, readdir, rename, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { retrieveArtifacts, storeArtifact } from '../../src/artifacts/index.ts'
import { toWorkspaceError } from '../../src/errors.ts'
import { injectFault } from '../../src/platform/fs.ts'
import { applyPlan } from '../../src/retention/apply.ts'
import { makePlan } from '../../src/retention/plan.ts'
import { scanVolume } from '../../src/retention/scan.ts'
import { moveToTrash } from '../../src/volume/trash.ts'
import { opened } from '../../src/stores/open.ts'
import { volumeArtifacts } from '../../src/stores/volume-artifacts.ts'
import { openVolume, type Volume } from '../../src/volume/volume.ts'
import { identity, RUN_ID } from '../artifacts/support.ts'
import { clean, gone, keep, restore } from './support.ts'

export interface Order {
  root: string
  role: 'store' | 'retrieve' | 'delete' | 'sweep' | 'purge' | 'clean'
  /** A folder of this process's own. */
  folder: string
  outputs: number
  /** How many different trees there are. */
  contents: number
  /** How long a swept blob is left in trash, in ms. */
  purgeAfter: number
  scrubBytes?: number
  /** Does its thing once, and kills the process, as SIGKILL does, before its nth file operation. */
  dieAt?: number
}

export interface Answer {
  rounds: number
  swept: number
  purged: number
  broughtBack: number
  /** What must never happen. */
  violations: string[]
}

const answer: Answer = { rounds: 0, swept: 0, purged: 0, broughtBack: 0, violations: [] }
const stopping = new AbortController()
const stop = stopping.signal

process.on('message', (order: Order | 'stop') => {
  if (order === 'stop') stopping.abort()
  else void work(order)
})

async function work(order: Order): Promise<void> {
  const volume = await openVolume(order.root)
  let operations = 0
  if (order.dieAt !== undefined) {
    injectFault(() => {
      if (++operations === order.dieAt) process.kill(process.pid, 'SIGKILL')
    })
    await clean(volume, {}, { scrubBytes: order.scrubBytes ?? 0 })
    process.send?.(operations)
    return
  }
  let last = ''
  injectFault((operation, path) => {
    // From a batch in trash.
    if (operation === 'link' && path.startsWith(volume.layout.blobs) && /\/blobs-\w+\/content$/.test(last))
      answer.broughtBack++
    last = operation === 'readdir' ? path : ''
  })
  while (!stop.aborted) {
    await ROLES[order.role](volume, order).catch((error: unknown) => judge(order.role, error))
    answer.rounds++
    if (order.role === 'delete') await delay(20)
  }
  process.send?.(answer)
}

/** What disappears or appears under one's hands is part of the game; a blob that is missing or wrong is not. */
function judge(role: string, error: unknown): void {
  const { code, message } = toWorkspaceError(error)
  const expected =
    (code === 'ARTIFACT_NOT_FOUND' && !message.startsWith('the blob')) ||
    /ENOENT|ENOTEMPTY|EEXIST/.test(message)
  if (!expected) answer.violations.push(`${role}: ${code} ${message}`)
}

const never = new AbortController().signal
const some = (count: number): number => Math.floor(Math.random() * count)
const outputOf = ({ outputs }: Order): string => `out-${some(outputs)}`

const ROLES: Record<Order['role'], (volume: Volume, order: Order) => Promise<void>> = {
  async store(volume, order) {
    const source = join(order.folder, 'source')
    await mkdir(source, { recursive: true })
    await writeFile(join(source, 'file'), `content ${some(order.contents)}`)
    const request = { emit: () => {}, signal: never, overwrite: true, source, output: outputOf(order) }
    await storeArtifact({ ...request, stores: [opened(volumeArtifacts(volume))], identity: identity() })
  },
  async retrieve(volume, order) {
    const target = join(order.folder, 'target')
    await rm(target, { recursive: true, force: true })
    const chosen = { files: [], strip: 0, conflicts: 'fail' as const, optional: false }
    const wanted = { ...chosen, artifacts: [`build/${outputOf(order)}`], run: '', target }
    const asking = { identity: identity({ task: 'use' }), emit: () => {}, signal: never }
    await retrieveArtifacts({ ...wanted, ...asking, stores: [opened(volumeArtifacts(volume))] })
  },
  async delete(volume, order) {
    const folder = volume.layout.artifact(RUN_ID, 'build', outputOf(order))
    if ((await readdir(folder)).length === 0) return
    const place = await moveToTrash(volume, folder, 'a test')
    const next = some(9)
    if (next > 4) return
    await mkdir(dirname(folder), { recursive: true })
    if (next > 1) await rename(join(place, 'content'), folder)
    else await restore(volume, 'artifacts/')
  },
  async sweep(volume) {
    const plan = makePlan(await scanVolume(volume, gone, 0), { ...keep, sweepAfter: 0, trashRetention: 50 })
    plan.actions = plan.actions.filter(({ action }) => action !== 'purge-blobs')
    answer.swept += (await applyPlan(volume, plan, () => {}, never)).swept
  },
  async purge(volume, { purgeAfter }) {
    const plan = makePlan(await scanVolume(volume, gone, 0), { ...keep, sweepAfter: purgeAfter })
    plan.actions = plan.actions.filter(({ action }) => action === 'purge-blobs')
    for (const action of plan.actions) if ('blobs' in action) answer.purged += action.blobs.length
    await applyPlan(volume, { ...plan, record: undefined }, () => {}, never)
  },
  clean: async (volume) => void (await clean(volume)),
}
