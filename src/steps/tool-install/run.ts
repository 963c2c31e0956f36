import { toWorkspaceError, WorkspaceError, type ErrorCode } from '../../errors.ts'
import { platformName } from '../../platform/host.ts'
import { installLocally, installTool, type InstallOptions, type Tool } from '../../tools/index.ts'
import { requireVolume } from '../../volume/same-file-system.ts'
import { ensureVolume, type Volume } from '../../volume/volume.ts'
import { openLocks } from '../locks.ts'
import type { StepContext, StepRun } from '../runtime.ts'
import type { contract } from './contract.ts'

type Context = StepContext<typeof contract>

export const run: StepRun<typeof contract> = (context) => runWith(context)

/** What says that the volume is the trouble, not the tool. */
const OF_THE_VOLUME: readonly ErrorCode[] = [
  'STORAGE_NOT_MOUNTED',
  'NOT_WRITABLE',
  'NO_SPACE',
  'STORAGE_IO',
  'STORAGE_UNSAFE',
  'FORMAT_UNSUPPORTED',
]

/** `times` are for tests. */
export async function runWith(
  context: Context,
  times: Pick<InstallOptions, 'tuning' | 'locking'> = {},
): ReturnType<StepRun<typeof contract>> {
  const { fallback, role, localPath } = context.params
  if (fallback === 'local' && role !== 'auto') throw noFallback(role)
  const options = { ...optionsOf(context), ...times }
  try {
    const volume = await volumeOf(context)
    const locks = () => openLocks(context, { acquires: true, tuning: times.locking?.tuning ?? {} })
    const { tool, hit, bytes, waitedMs } = await installTool(volume, locks, options)
    return resultsOf(tool, { hit, bytes, 'waited-ms': waitedMs, volume: volume.id })
  } catch (error) {
    const { code, message } = toWorkspaceError(error)
    if (fallback !== 'local' || !OF_THE_VOLUME.includes(code)) throw error
    const local = await installLocally(localPath, `${code}: ${message}`, options)
    const told = { hit: 'local', bytes: local.bytes, 'waited-ms': local.waitedMs, volume: 'local' }
    return resultsOf(local.tool, told)
  }
}

/**
 * A consumer that only waits writes nothing: it may have the volume read-only. One that is told which volume it is to
 * see makes none either: an empty folder in the place of a mount would become another volume.
 */
async function volumeOf({ params, workspaces: { shared }, emit }: Context): Promise<Volume> {
  const { role, volume } = params
  if (shared && (role === 'wait' || volume !== '')) return requireVolume(shared, volume || undefined)
  if (shared) return ensureVolume(shared, emit)
  throw new WorkspaceError('STORAGE_NOT_MOUNTED', 'the workspace shared is not bound', {
    expected: 'the shared volume',
    found: 'no such workspace',
    hint: 'bind the workspace shared, or allow fallback: local',
  })
}

function optionsOf(context: Context): InstallOptions {
  const { params, configuration: c, identity, liveness, emit, signal } = context
  const { name, version, urls, sha256, checksums, waiveChecksum, archive, strip, maxBytes } = params
  const { TOOL_AUTHORIZATION: value, TOOL_AUTHORIZATION_HOST: host } = c
  return {
    tool: { name, version, platform: params.platform ?? platformName() },
    source: {
      urls,
      checksum: { sha256, checksums, waived: waiveChecksum },
      ca: c.TOOL_CA,
      authorization: value && host ? { value, host } : undefined,
    },
    recipe: { archive, strip, maxBytes, binaries: params.binaries, verify: params.verify },
    mayDownload: params.role !== 'wait',
    timeoutMs: params.timeout,
    identity,
    liveness,
    emit,
    signal,
  }
}

const resultsOf = <T>({ paths, version, marker }: Tool, told: T) => ({
  path: paths.bin,
  version,
  digest: marker.digest,
  ...told,
})

const noFallback = (role: string): WorkspaceError =>
  new WorkspaceError('USAGE', `the role ${role} does not go with fallback: local`, {
    expected: 'the role auto, or no fallback',
    found: `role: ${role}, fallback: local`,
    hint: role === 'wait' ? 'whoever only waits downloads nothing' : 'it is to bring the tool for others',
  })
