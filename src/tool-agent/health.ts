import { startChild } from '../platform/child.ts'
import { monotonic, sleep } from '../platform/clock.ts'
import { httpStatus } from '../platform/http-status.ts'
import type { Health } from './contract.ts'

/** How long one check may take. */
const CHECK_MS = 5_000

/** @returns why the worker is not healthy; undefined where it is */
export async function checkHealth(
  health: Health,
  { cwd, env }: { cwd: string; env: Record<string, string> },
): Promise<string | undefined> {
  if ('script' in health) return runCheck(health.script, cwd, env)
  const path = health.url.pathname
  try {
    const status = await httpStatus(health.url, CHECK_MS)
    return status >= 200 && status < 400 ? undefined : `${path} answered with ${status}`
  } catch (error) {
    return `${path}: ${error instanceof Error ? error.message : String(error)}`
  }
}

async function runCheck(
  script: string,
  cwd: string,
  env: Record<string, string>,
): Promise<string | undefined> {
  let last = ''
  const onLine = (line: string): void => void (last = line)
  const child = startChild({ command: 'sh', args: ['-c', script], cwd, env, inherit: [], onLine })
  const startedAt = monotonic()
  const over = new AbortController()
  const late = sleep(CHECK_MS, over.signal).then(
    () => child.kill(),
    () => undefined,
  )
  const exitCode = await child.ended
  over.abort()
  await late
  if (exitCode === 0) return undefined
  const said = last && `: ${last.slice(0, 200)}`
  return monotonic() - startedAt >= CHECK_MS
    ? `the check took over ${CHECK_MS / 1000} s`
    : `the check ended with ${exitCode}${said}`
}
