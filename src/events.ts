/** What steps tell while they work: a typed union, and the writers that make lines of it. */
import { timestamp } from './platform/clock.ts'
import { ERRORS, type WorkspaceError } from './errors.ts'

export type Event =
  | { event: 'volume-initialised'; volumeId: string }
  | { event: 'volume-probed'; summary: string }
  | {
      event: 'probed-across-nodes'
      exclusion: 'yes' | 'no'
      nodes: string[]
      reasons: string[]
      flock: string
    }
  | { event: 'run-initialised'; runId: string; path: string; template?: string }
  | { event: 'run-found'; runId: string; path: string }
  | { event: 'artifact-stored'; uri: string; digest: string; files: number; bytes: number; newBytes: number }
  | { event: 'artifact-unchanged'; uri: string; digest: string }
  | { event: 'artifact-retrieved'; uri: string; digest: string; files: number; bytes: number; path: string }
  | { event: 'artifact-unpinned'; uri: string; digest: string }
  | { event: 'artifact-skipped'; uri: string; why: string }
  | {
      event: 'cache-restored'
      scope: string
      key: string
      exact: boolean
      digest: string
      files: number
      bytes: number
      path: string
    }
  | { event: 'cache-missed'; scope: string; key: string }
  | { event: 'cache-damaged'; scope: string; key: string; why: string }
  | { event: 'cache-skipped'; scope: string; key: string; why: string }
  | {
      event: 'cache-saved'
      scope: string
      key: string
      digest: string
      files: number
      bytes: number
      newBytes: number
    }
  | { event: 'cache-evicted'; key: string; bytes: number; lastUsed: string }
  | { event: 'artifact-fallback'; from: string; to: string; why: string }
  | {
      event: 'lock-waiting'
      lock: string
      holder: string
      since: string
      place: number
      waitedMs: number
      note?: string
    }
  | { event: 'lock-acquired'; lock: string; epoch: number; holder: string; waitedMs: number }
  | { event: 'lock-skipped'; lock: string; holder: string }
  | { event: 'release-waiting'; lock: string; pods: string[] }
  | { event: 'lock-released'; lock: string; epoch: number }
  | { event: 'lock-lost'; lock: string; epoch: number; why: string }
  | { event: 'flock-waiting'; lock: string; path: string; waitedMs: number }
  | { event: 'command-signalled'; lock: string; signal: string }
  | { event: 'command-ended'; lock: string; epoch: number; exitCode: number }
  | { event: 'lock-taken-over'; lock: string; epoch: number; from: string; evidence: string }
  | { event: 'lock-forced'; lock: string; ticket: string; epoch?: number; holder: string; reason: string }
  | { event: 'waiter-dropped'; lock: string; waiter: string; evidence: string }
  | { event: 'status-set'; runId: string; agent?: string; phase: string }
  | { event: 'run-closed'; runId: string; phase: string }
  | { event: 'run-archived'; runId: string; path: string; bytes: number }
  | { event: 'archive-deferred'; runId: string; why: string }
  | { event: 'store-retry'; place: string; why: string; waitMs: number }
  | { event: 'coordinator-started'; port: number; volumeId: string; tls: boolean }
  | { event: 'coordinator-stopping'; why: string }
  | { event: 'coordinator-stopped'; afterMs: number }
  | { event: 'entry-published'; path: string; kind: string }
  | { event: 'upload-expired'; id: string; idleMs: number }
  | { event: 'request-refused'; method: string; url: string; status: number; why: string }
  | { event: 'retention-planned'; action: string; path: string; why: string; bytes: number; dryRun: boolean }
  | { event: 'retention-done'; action: string; path: string; bytes: number }
  | { event: 'retention-blocked'; path: string; why: string }
  | { event: 'blob-damaged'; digest: string; path: string; artifacts: string[] }
  | { event: 'blob-missing'; digest: string; artifacts: string[] }
  | {
      event: 'consumer-state'
      fleet: string
      consumer: string
      tool: string
      version: string
      phase: string
      detail: string
    }
  | { event: 'fleet-turn'; fleet: string; consumers: string[]; tool: string; version: string }
  | { event: 'fleet-silent'; fleet: string; consumers: string[] }
  | {
      event: 'fleet-phase'
      fleet: string
      tool: string
      phase: string
      from: string
      to: string
      /** Why, where it did not go as it should, and what to do then. */
      reason?: string
      hint?: string
    }
  | { event: 'tool-found'; consumer: string; tool: string; path: string; digest: string }
  | {
      event: 'tool-waiting'
      consumer: string
      tool: string
      /** Who downloads it, if somebody tells. */
      by?: string
      stage?: string
      bytes?: number
      total?: number
      /** Bytes a second. */
      rate?: number
      waitedMs: number
    }
  | {
      event: 'tool-progress'
      consumer: string
      tool: string
      stage: string
      from: string
      bytes: number
      total?: number
      rate: number
    }
  | { event: 'tool-retry'; consumer: string; tool: string; url: string; why: string; waitMs: number }
  | { event: 'tool-damaged'; consumer: string; tool: string; why: string; trash: string }
  | {
      event: 'tool-installed'
      consumer: string
      tool: string
      path: string
      digest: string
      /** What it takes on the volume, and what was fetched for it. */
      bytes: number
      fetched: number
    }
  | { event: 'tool-local'; consumer: string; tool: string; path: string; why: string }
  | { event: 'warning'; about: string; detail: string }

export type Emit = (event: Event) => void

/** The sentence for people. Every event has one: a new kind does not compile without it. */
export function describe(e: Event): string {
  switch (e.event) {
    case 'volume-initialised':
      return `volume ${e.volumeId} initialised`
    case 'volume-probed':
      return `volume probed: ${e.summary}`
    case 'probed-across-nodes':
      return `locks exclude between ${e.nodes.join(' and ')}: ${[e.exclusion, ...e.reasons].join('; ')} (flock ${e.flock})`
    case 'run-initialised':
      return `run ${e.runId} initialised at ${e.path}${e.template ? ` from template ${e.template}` : ''}`
    case 'run-found':
      return `run ${e.runId} is initialised already at ${e.path}`
    case 'artifact-stored':
      return `stored ${e.uri}@${e.digest} (${e.files} files, ${e.bytes} bytes, ${e.newBytes} new)`
    case 'artifact-unchanged':
      return `unchanged ${e.uri}@${e.digest}`
    case 'artifact-retrieved':
      return `retrieved ${e.uri}@${e.digest} into ${e.path} (${e.files} files, ${e.bytes} bytes, every byte verified)`
    case 'artifact-unpinned':
      return `unpinned: ${e.uri} was asked for without a digest and is ${e.digest} now`
    case 'artifact-skipped':
      return `skipped ${e.uri}: ${e.why}`
    case 'artifact-fallback':
      return `falling back from ${e.from} to ${e.to}: ${e.why}`
    case 'cache-restored':
      return `restored ${e.key} of ${e.scope} (${e.exact ? 'the key itself' : 'by a prefix'}) into ${e.path} (${e.files} files, ${e.bytes} bytes, every byte verified)`
    case 'cache-missed':
      return `nothing is cached for ${e.key} in ${e.scope}`
    case 'cache-damaged':
      return `${e.key} of ${e.scope} is passed over: ${e.why}`
    case 'cache-skipped':
      return `${e.key} of ${e.scope} is left: ${e.why}`
    case 'cache-saved':
      return `saved ${e.key} in ${e.scope} (${e.files} files, ${e.bytes} bytes, ${e.newBytes} new)`
    case 'cache-evicted':
      return `evicted ${e.key} (${e.bytes} bytes), last used ${e.lastUsed}`
    case 'lock-waiting':
      return `waiting for lock ${e.lock}: held by ${e.holder} since ${e.since}, place ${e.place} in the queue, ${seconds(e.waitedMs)} so far${e.note ? ` (${e.note})` : ''}`
    case 'lock-acquired':
      return `lock ${e.lock} acquired with epoch ${e.epoch} for ${e.holder} after ${seconds(e.waitedMs)}`
    case 'lock-skipped':
      return `lock ${e.lock} is held by ${e.holder}: skipped`
    case 'release-waiting':
      return `lock ${e.lock} is kept until what was told to stop has stopped: ${e.pods.join(', ')}`
    case 'lock-released':
      return `lock ${e.lock} released, epoch ${e.epoch}`
    case 'lock-lost':
      return `lock ${e.lock} is lost, epoch ${e.epoch}: ${e.why}`
    case 'flock-waiting':
      return `lock ${e.lock}: waiting for a program that holds ${e.path} by flock, ${seconds(e.waitedMs)} so far`
    case 'command-signalled':
      return `lock ${e.lock}: ${e.signal} to the command`
    case 'command-ended':
      return `lock ${e.lock}: the command ended with ${e.exitCode}, epoch ${e.epoch}`
    case 'lock-taken-over':
      return `lock ${e.lock} taken over from ${e.from}, epoch ${e.epoch}: ${e.evidence}`
    case 'lock-forced':
      return `lock ${e.lock}: ${e.epoch === undefined ? 'the wait' : `the hold with epoch ${e.epoch}`} of ${e.holder} was ended by force: ${e.reason}`
    case 'waiter-dropped':
      return `waiter ${e.waiter} dropped from the queue of lock ${e.lock}: ${e.evidence}`
    case 'status-set':
      return `${e.agent ? `agent ${e.agent} of ` : ''}run ${e.runId} is ${e.phase}`
    case 'run-closed':
      return `run ${e.runId} closed as ${e.phase}`
    case 'run-archived':
      return `run ${e.runId} archived to ${e.path} (${e.bytes} bytes)`
    case 'archive-deferred':
      return `run ${e.runId} is closed; the next maintenance moves it: ${e.why}`
    case 'store-retry':
      return `${e.place}: ${e.why}; trying again in ${seconds(e.waitMs)}`
    case 'coordinator-started':
      return `the coordinator of volume ${e.volumeId} listens on port ${e.port}${e.tls ? ' with TLS' : ''}`
    case 'coordinator-stopping':
      return `the coordinator stops: ${e.why}; what is under way may finish`
    case 'coordinator-stopped':
      return `the coordinator has stopped after ${seconds(e.afterMs)}`
    case 'entry-published':
      return `published ${e.path} (${e.kind})`
    case 'upload-expired':
      return `upload ${e.id} given up: nothing came for ${seconds(e.idleMs)}`
    case 'request-refused':
      return `refused ${e.method} ${e.url} with ${e.status}: ${e.why}`
    case 'retention-planned':
      return `${e.dryRun ? 'would ' : ''}${e.action} ${e.path} (${e.bytes} bytes): ${e.why}`
    case 'retention-done':
      return `${e.action} done: ${e.path} (${e.bytes} bytes)`
    case 'retention-blocked':
      return `left ${e.path}: ${e.why}`
    case 'blob-damaged':
      return `the blob ${e.digest} is damaged, and lies at ${e.path} now; ${hit(e.artifacts)}`
    case 'blob-missing':
      return `the blob ${e.digest} is missing; ${hit(e.artifacts)}`
    case 'consumer-state':
      return `consumer ${e.consumer} of ${e.fleet} is ${e.phase} on ${e.tool} ${e.version}${e.detail ? `: ${e.detail}` : ''}`
    case 'fleet-turn':
      return `fleet ${e.fleet}: ${e.consumers.join(', ')} may go to ${e.tool} ${e.version}`
    case 'fleet-silent':
      return `fleet ${e.fleet}: no answer from ${e.consumers.join(', ')}; they count as unavailable`
    case 'fleet-phase':
      return `fleet ${e.fleet}: ${e.tool} from ${e.from || 'nothing'} to ${e.to} is ${e.phase}${e.reason ? `: ${e.reason}` : ''}${e.hint ? `; what to do: ${e.hint}` : ''}`
    case 'tool-found':
      return `[${e.consumer}] ${e.tool} is at ${e.path}, verified; made of ${e.digest}`
    case 'tool-waiting':
      return `[${e.consumer}] waiting for ${e.tool}, ${seconds(e.waitedMs)} so far: ${e.by === undefined ? 'nobody tells of a download' : `${e.by} is ${e.stage}, ${howFar(e.bytes ?? 0, e.total, e.rate ?? 0)}`}`
    case 'tool-progress':
      return `[${e.consumer}] ${e.tool}: ${e.stage} ${e.from}, ${howFar(e.bytes, e.total, e.rate)}`
    case 'tool-retry':
      return `[${e.consumer}] ${e.tool}: ${e.url}: ${e.why}; trying again in ${seconds(e.waitMs)}`
    case 'tool-damaged':
      return `[${e.consumer}] WARNING: ${e.tool} was damaged, and is installed again: ${e.why}; what was there is at ${e.trash}`
    case 'tool-installed':
      return `[${e.consumer}] installed ${e.tool} at ${e.path} (${e.bytes} bytes, ${e.fetched} fetched): ${e.digest}`
    case 'tool-local':
      return `[${e.consumer}] WARNING: ${e.tool} is not shared: it goes to ${e.path}, for this task alone: ${e.why}`
    case 'warning':
      return `warning: ${e.about}: ${e.detail}`
  }
}

const hit = (artifacts: readonly string[]): string =>
  artifacts.length === 0 ? 'no artifact refers to it' : `it belongs to ${artifacts.join(', ')}`

const howFar = (bytes: number, total: number | undefined, rate: number): string =>
  `${bytes} of ${total ?? 'unknown'} bytes, ${(rate / 1e6).toFixed(1)} MB/s`

const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`

/** Writes events and errors as lines: `text` for people on a terminal, `json` for a pod's log. */
export interface Log {
  emit: Emit
  error(error: WorkspaceError): void
}

export function createLog(format: 'text' | 'json', write: (line: string) => void): Log {
  if (format === 'text') {
    return { emit: (event) => write(describe(event)), error: (error) => write(describeError(error)) }
  }
  const json = (fields: object): void => write(JSON.stringify({ time: timestamp(), ...fields }))
  return {
    emit: (event) => json({ message: describe(event), ...event }),
    error: (error) => json({ level: 'error', message: error.message, ...errorFields(error) }),
  }
}

/** A failure as lines for people: what happened, what was expected and found, what to do, the exit code. */
export function describeError(error: WorkspaceError): string {
  const lines = [`error: ${error.message}`]
  if (error.expected) lines.push(`  expected: ${error.expected}`)
  if (error.found) lines.push(`  found: ${error.found}`)
  if (error.hint) lines.push(`  what to do: ${error.hint}`)
  lines.push(`  code: ${error.code} (exit ${ERRORS[error.code].exit})`)
  return lines.join('\n')
}

function errorFields(error: WorkspaceError): object {
  const { code, expected, found, hint, exitCode } = error
  const stack =
    code === 'INTERNAL' ? { stack: error.cause instanceof Error ? error.cause.stack : error.stack } : {}
  return { code, exitCode, expected, found, hint, ...stack }
}
