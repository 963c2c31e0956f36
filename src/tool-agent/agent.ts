/** The agent: one consumer of a fleet, with the worker that it looks after. */
import { WorkspaceError } from '../errors.ts'
import type { Emit } from '../events.ts'
import type { Identity } from '../identity.ts'
import { fenceOf, withLock } from '../locks/index.ts'
import * as fs from '../platform/fs.ts'
import {
  NAME_HOLDING,
  nameLock,
  nameLocks,
  placeIn,
  placeOf,
  readTarget,
  type ConsumerPlace,
} from '../upgrades/index.ts'
import type { Liveness } from '../volume/liveness.ts'
import { requireSameFolder, requireVolume } from '../volume/same-file-system.ts'
import type { Volume } from '../volume/volume.ts'
import { settingEnv, type Settings } from './contract.ts'
import { supervise } from './supervise.ts'

export interface AgentOptions {
  settings: Settings
  command: readonly [string, ...string[]]
  identity: Identity
  liveness: Liveness
  emit: Emit
  /** Aborted, the worker is stopped and the agent ends. */
  signal: AbortSignal
  /** For tests. */
  holding?: Partial<typeof NAME_HOLDING>
}

/**
 * Runs until it is told to stop.
 * @throws WorkspaceError STORAGE_NOT_MOUNTED; LOCK_NOT_ACQUIRED where another agent has the name; LOCK_LOST where
 * another took it, or the volume did not answer for minutes; USAGE where nothing says what to run
 */
export async function runAgent(options: AgentOptions): Promise<void> {
  const { settings, command, identity, liveness, emit, signal } = options
  const { FLEET: fleet } = settings
  const name = settings.NAME ?? identity.pod.name
  const holding = { ...NAME_HOLDING, ...options.holding }
  const volume = await requireVolume(settings.FOLDER, settings.VOLUME_ID || undefined)
  await requireVersion(volume, settings)
  const place = await prepare(volume, settings, name)
  const locks = nameLocks(volume, place)
  const lock = nameLock(fleet, name)
  // Who had the name and died is taken over from within its ttl.
  const common = {
    identity,
    liveness,
    emit,
    signal,
    policy: 'wait',
    timeoutMs: holding.ttlMs + 20_000,
  } as const
  await withLock(locks, lock, { ...common, holding }, async ({ epoch, lost }) => {
    const fence = fenceOf(locks, { lock, epoch })
    const stop = AbortSignal.any([signal, lost])
    await supervise({ volume, settings, command, place, name, identity, fence, emit }, stop)
  }).catch((error: unknown) => {
    throw nameTaken(error, fleet, name)
  })
}

/** Makes the consumer's folders, and sees that they are where the leader looks for them. */
async function prepare(
  volume: Volume,
  { OWN_FOLDER, FLEET }: Settings,
  name: string,
): Promise<ConsumerPlace> {
  const onVolume = placeOf(volume.layout, FLEET, name)
  const place = OWN_FOLDER ? placeIn(OWN_FOLDER) : onVolume
  await fs.mkdirp(place.work)
  await requireSameFolder(place.folder, onVolume.folder)
  return place
}

async function requireVersion({ layout }: Volume, { FLEET, VERSION, TOOL }: Settings): Promise<void> {
  const target = await readTarget(layout, FLEET)
  if (target && target.tool !== TOOL)
    throw new WorkspaceError('USAGE', `the fleet ${FLEET} is not one of ${TOOL}`, {
      expected: `the tool ${target.tool}`,
      found: TOOL,
      hint: 'give each tool a fleet of its own',
    })
  if (target || VERSION) return
  throw new WorkspaceError('USAGE', `nothing says which version of ${TOOL} to run`, {
    expected: `${settingEnv('VERSION')}, or a fleet that was upgraded before`,
    found: 'neither',
    hint: `set ${settingEnv('VERSION')} to a version that is installed`,
  })
}

function nameTaken(error: unknown, fleet: string, name: string): unknown {
  if (!(error instanceof WorkspaceError) || error.code !== 'LOCK_NOT_ACQUIRED') return error
  return new WorkspaceError(
    'LOCK_NOT_ACQUIRED',
    `another agent is the consumer ${name} of the fleet ${fleet}`,
    {
      expected: 'one agent for each name',
      ...(error.found ? { found: error.found } : {}),
      hint: `leave ${settingEnv('NAME')} empty, so that each pod has its own name, or end the other one`,
      cause: error,
    },
  )
}
