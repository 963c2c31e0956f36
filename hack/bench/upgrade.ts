/** How long it takes to upgrade a fleet of ten workers, one at a time, as the product's agents and leader do it. */
import { join } from 'node:path'
import { execa } from 'execa'
import { settingEnv, type SettingName } from '../../src/tool-agent/contract.ts'
import { row, time, type Row } from './pair.ts'
import { startLineServer } from './tools/server.ts'
import type { World } from './world.ts'

const [FLEET, TOOL, AGENTS] = ['bench', 'worker', 10]
const PATIENCE_MS = 60_000

/** A worker that is healthy once it has made a file, which takes it a moment, and ends at once. */
const workerOf = (version: string): string => `#!/bin/sh
sleep 0.5
echo ${version} > healthy
trap 'rm healthy; exit 0' TERM
while :; do sleep 0.1; done
`

export async function upgrade(world: World): Promise<Row[]> {
  const volume = await world.newVolume()
  await time(world.step('workspace-init', volume))
  for (const version of ['1', '2']) await install(world, volume, version)
  const agents = Array.from({ length: AGENTS }, (_, n) => startAgent(world, volume, `w${n}`))
  try {
    await allHealthy(world, volume)
    const seconds = await time(world.step('tool-upgrade', volume, { fleet: FLEET, tool: TOOL, version: '2' }))
    return [row(`upgrade of ${AGENTS} workers, one at a time`, seconds, 'limit of 2 min', 120, 1)]
  } finally {
    for (const agent of agents) agent.kill('SIGTERM')
    await Promise.all(agents)
  }
}

async function install(world: World, volume: string, version: string): Promise<void> {
  const server = await startLineServer(`/${TOOL}`, Buffer.from(workerOf(version)), 1e9)
  const params = { name: TOOL, version, waiveChecksum: TOOL, archive: 'none' }
  try {
    await time(world.step('tool-install', volume, params, [server.url]))
  } finally {
    await server.stop()
  }
}

function startAgent({ local }: World, volume: string, name: string) {
  const settings: Partial<Record<SettingName, string>> = {
    FOLDER: volume,
    FLEET,
    TOOL,
    VERSION: '1',
    HEALTH: 'test -e healthy',
  }
  const env: Record<string, string> = { POD_NAME: name, POD_UID: name, POD_NAMESPACE: FLEET }
  for (const [key, value] of Object.entries(settings)) env[settingEnv(key as SettingName)] = value
  const program = join(local, 'steps/tool-agent.mjs')
  return execa(process.execPath, [program, TOOL], { env, reject: false, stdout: 'ignore' })
}

async function allHealthy(world: World, volume: string): Promise<void> {
  const status = world.step('tool-upgrade', volume, {
    fleet: FLEET,
    tool: TOOL,
    mode: 'status',
    format: 'json',
  })
  const [node, ...args] = status.command
  const deadline = performance.now() + PATIENCE_MS
  while (performance.now() < deadline) {
    const { stdout } = await execa(node!, args, { env: status.env ?? {} })
    if (stdout.split('"phase":"healthy"').length > AGENTS) return
    await new Promise((resolve) => setTimeout(resolve, 1_000))
  }
  throw new Error(`the agents were not healthy within ${PATIENCE_MS / 1000} s`)
}
