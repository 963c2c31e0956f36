import { findTool, titleOf, verifyTool } from '../tools/index.ts'
import { startChild } from '../platform/child.ts'
import { ownEnv, platformName } from '../platform/host.ts'
import { notInstalled, type ConsumerPlace } from '../upgrades/index.ts'
import type { Volume } from '../volume/volume.ts'
import type { Settings, WORKER_ENV } from './contract.ts'
import { checkHealth } from './health.ts'

/** A running worker of one version. */
export interface Worker {
  /** Once it has ended. */
  readonly exitCode: number | undefined
  /** @returns why it is not healthy; undefined where it is */
  check(): Promise<string | undefined>
  /** SIGTERM, and SIGKILL after the time that it may take. */
  stop(): Promise<void>
}

export interface WorkerOptions {
  volume: Volume
  settings: Settings
  command: readonly [string, ...string[]]
  place: ConsumerPlace
  version: string
}

/**
 * Verifies every file of the tool and starts the worker with it.
 * @throws WorkspaceError TOOL_NOT_INSTALLED, DIGEST_MISMATCH
 */
export async function startWorker(options: WorkerOptions): Promise<Worker> {
  const { volume, settings, command, place, version } = options
  const wanted = { name: settings.TOOL, version, platform: platformName() }
  const tool = await findTool(volume.layout, wanted)
  if (!tool) throw notInstalled(titleOf(wanted))
  await verifyTool(tool)
  const { bin } = tool.paths
  const own: Record<keyof typeof WORKER_ENV, string> = {
    TOOL_NAME: wanted.name,
    TOOL_VERSION: version,
    TOOL_PATH: bin,
    WORK_FOLDER: place.work,
  }
  const inherited = ownEnv()
  const env = { ...inherited, ...own, PATH: `${bin}:${inherited['PATH'] ?? ''}` }
  const [file, ...args] = command
  const child = startChild({ command: file, args, cwd: place.work, env, inherit: [] })
  let exitCode: number | undefined
  void child.ended.then((code) => (exitCode = code))
  return {
    get exitCode() {
      return exitCode
    },
    check: () => checkHealth(settings.HEALTH, { cwd: place.work, env }),
    async stop() {
      child.stop(settings.STOP_TIMEOUT)
      await child.ended
    },
  }
}
