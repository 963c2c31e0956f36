/** Requests to an S3 server, tried again where that may help. */
import { S3Client } from '@aws-sdk/client-s3'
import type { Emit } from '../../events.ts'
import { env } from '../../platform/host.ts'
import { trusting } from '../../platform/trust.ts'
import { newPatience, type Patience, type PatienceOptions } from '../patience.ts'
import { failureOf, refusalName } from './failure.ts'
import { checkPrefix, keysUnder, type Keys } from './keys.ts'

export interface S3Options {
  bucket: string
  /** What the keys begin with, such as `ci/`; '' for nothing. */
  prefix: string
  /** The URL of a server; AWS without it. */
  endpoint?: string
  region: string
  /** The bucket stands in the path, not in the host name. */
  pathStyle: boolean
  /** Certificates in PEM form that are trusted beside the usual ones; '' for none. */
  ca: string
  /** Without them: the pod's identity, by the SDK's usual chain. */
  credentials?: { accessKeyId: string; secretAccessKey: string; sessionToken?: string }
  /** After how many days the bucket's lifecycle rules take artifacts. */
  cleanupDays: number
  emit: Emit
  signal?: AbortSignal
  /** How long nothing may get better before a try is the last, in ms. */
  patienceMs?: number
  /** A connection without a byte for so long is cut, in ms. */
  idleMs?: number
}

export interface SendOptions {
  abortSignal?: AbortSignal
}
export type Send<T> = (client: S3Client, options: SendOptions) => Promise<T>

/** What came of a request: the server's answer, or the name of a refusal that the caller expected. */
export type Outcome<T> = { output: T; refusal?: undefined } | { output?: undefined; refusal: string }

interface Requests {
  patience(): Patience
  /** One try. @throws what `failureOf` makes of its failure */
  once<T>(send: Send<T>, expectedRefusals?: readonly string[]): Promise<Outcome<T>>
  /**
   * As many tries as patience has. `again` tells whether an earlier try was sent whose answer got lost: it may have
   * done what this one was refused.
   */
  ask<T>(send: Send<T>, expectedRefusals?: readonly string[]): Promise<Outcome<T> & { again: boolean }>
  /** `ask` where no refusal is an answer. */
  demand<T>(send: Send<T>): Promise<T>
}

export interface Connection extends Requests {
  bucket: string
  keys: Keys
  /** `s3://<bucket>/<prefix>`, without a slash at the end. */
  place: string
  cleanupDays: number
  /** Tidies up, also after an abort, and never fails; what stays behind, the lifecycle rules take. */
  tidy(what: string, send: Send<unknown>, goneAlready: string): Promise<void>
}

const PATIENCE_MS = 60_000
const IDLE_MS = 30_000
const CONNECT_MS = 10_000
/** Short: a pod that was told to stop has half a minute. */
const TIDY_MS = 10_000
const CONNECTIONS = 16

export function connectionTo(options: S3Options): Connection {
  const { bucket, cleanupDays, emit, signal, patienceMs = PATIENCE_MS } = options
  const prefix = checkPrefix(options.prefix)
  const place = `s3://${bucket}/${prefix}`.replace(/\/$/, '')
  const client = newClient(options)
  return {
    bucket,
    keys: keysUnder(prefix),
    place,
    cleanupDays,
    ...requestsTo(client, { place, patienceMs, emit, signal }),
    async tidy(what, send, goneAlready) {
      const limits = { patienceMs: TIDY_MS, signal: AbortSignal.timeout(TIDY_MS) }
      try {
        await requestsTo(client, { place, emit, ...limits }).ask(send, [goneAlready])
      } catch (error) {
        const detail = error instanceof Error ? error.message : String(error)
        emit({ event: 'warning', about: `${what} stays in ${place} until a lifecycle rule takes it`, detail })
      }
    },
  }
}

function requestsTo(
  client: S3Client,
  options: Pick<PatienceOptions, 'place' | 'patienceMs' | 'emit' | 'signal'>,
): Requests {
  const { place, signal } = options
  const patience: Requests['patience'] = () =>
    newPatience({
      ...options,
      expected: 'an S3 server that answers',
      hint: 'look at SHARED_WORKSPACE_ARTIFACT_S3_ENDPOINT, the server, and network policies between',
    })
  const once: Requests['once'] = async (send, expectedRefusals = []) => {
    try {
      return { output: await send(client, signal ? { abortSignal: signal } : {}) }
    } catch (error) {
      const refusal = refusalName(error)
      if (expectedRefusals.includes(refusal)) return { refusal }
      throw failureOf(place, error)
    }
  }
  const ask: Requests['ask'] = async (send, expectedRefusals) => {
    const waiting = patience()
    for (let again = false; ; again = true) {
      try {
        return { ...(await once(send, expectedRefusals)), again }
      } catch (error) {
        await waiting.after(error)
      }
    }
  }
  return { patience, once, ask, demand: async (send) => (await ask(send)).output! }
}

function newClient(options: S3Options): S3Client {
  const { region, endpoint, pathStyle, ca, credentials, idleMs = IDLE_MS } = options
  const agent = { keepAlive: true, maxSockets: CONNECTIONS, proxyEnv: env }
  return new S3Client({
    region,
    forcePathStyle: pathStyle,
    ...(endpoint ? { endpoint } : {}),
    ...(credentials ? { credentials } : {}),
    // `ask` tries again, and tells of it.
    maxAttempts: 1,
    // Servers other than AWS know few of the checksums; every body is signed with its sha256 anyway.
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    expectContinueHeader: false,
    requestHandler: {
      connectionTimeout: CONNECT_MS,
      socketTimeout: idleMs,
      httpAgent: agent,
      httpsAgent: { ...agent, ...trusting(ca) },
    },
  })
}
