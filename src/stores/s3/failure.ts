/** What an S3 server's refusals, and failures to reach it, mean. Nothing of a request gets into an error. */
import { WorkspaceError, type ErrorCode } from '../../errors.ts'
import { Passing } from '../patience.ts'

/** Names of refusals that another try may mend, beside everything that says 5xx, 408 or 429. */
const PASSING = [
  'ConditionalRequestConflict',
  'OperationAborted',
  'RequestTimeout',
  'SlowDown',
  // Damaged or cut off on the way.
  'BadDigest',
  'IncompleteBody',
  'XAmzContentSHA256Mismatch',
]
const DENIED = [
  'CredentialsProviderError',
  'ExpiredToken',
  'ExpiredTokenException',
  'InvalidAccessKeyId',
  'InvalidToken',
  'RequestExpired',
  'SignatureDoesNotMatch',
  'TokenProviderError',
  'TokenRefreshRequired',
  'XAdminUserNotFound',
]
const FULL = ['QuotaExceeded', 'XMinioAdminBucketQuotaExceeded', 'XMinioStorageFull']
const OTHER_REGION = [
  'AuthorizationHeaderMalformed',
  'PermanentRedirect',
  'IllegalLocationConstraintException',
]
/** Failures of a connection that no second try mends. */
const CERTIFICATE = /^(ERR_TLS_|CERT_|UNABLE_TO_|SELF_SIGNED_|DEPTH_ZERO_|ERR_SSL_|EPROTO$|HOSTNAME_)/
const CONNECTION = /^(E[A-Z]+$|ERR_STREAM_|ERR_SOCKET_|HPE_)/

const HINTS = {
  denied:
    'look at the Secret shared-workspace-s3 or, without it, at what the ServiceAccount may do (docs/storage.md)',
  region: 'set SHARED_WORKSPACE_ARTIFACT_S3_REGION to the region of the bucket',
  bucket: 'make the bucket, or set SHARED_WORKSPACE_ARTIFACT_S3_BUCKET',
  full: 'raise the quota, or let the lifecycle rules of the bucket take what is old (docs/storage.md)',
  ca: 'set SHARED_WORKSPACE_ARTIFACT_S3_CA to the certificate of its authority',
  name: 'look at SHARED_WORKSPACE_ARTIFACT_S3_ENDPOINT; most servers other than AWS need SHARED_WORKSPACE_ARTIFACT_S3_PATH_STYLE',
  server: 'look at SHARED_WORKSPACE_ARTIFACT_S3_ENDPOINT, and at what is between here and there',
}

/** What is known of a failure. The SDK's own errors carry requests with them: they go no further than here. */
interface Failure {
  name: string
  message: string
  /** Of a connection: `ECONNRESET`, … */
  code: string
  status: number | undefined
  retryAfterMs: number
  /** The SDK has learned how far this clock is off, and signs the next request accordingly. */
  clockCorrected: boolean
}

/** The name of a refusal: `NoSuchKey`, `PreconditionFailed`, …; '' where the server did not answer. */
export const refusalName = (error: unknown): string => (statusOf(error) ? (error as Error).name : '')

/**
 * Any failure of a request as a `Passing` one, where another try may do better, or a WorkspaceError
 * STORE_UNAVAILABLE, STORE_DENIED or NO_SPACE. What is neither comes back as it is: a defect, or an abort.
 */
export function failureOf(place: string, error: unknown): unknown {
  if (!(error instanceof Error) || error instanceof WorkspaceError || error instanceof Passing) return error
  if (error.name === 'AbortError') return error
  const failure = examine(error)
  const { name, code, status, retryAfterMs } = failure
  if (status === 501) return refused(place, failure)
  if (PASSING.includes(name) || isBusy(status) || failure.clockCorrected)
    return new Passing(words(failure), { retryAfterMs })
  if (status !== undefined || DENIED.includes(name)) return refused(place, failure)
  if (code === 'ENOTFOUND')
    return fail('STORE_UNAVAILABLE', `there is no server for ${place}`, failure, {
      expected: 'a name that resolves to an address',
      hint: HINTS.name,
    })
  if (CERTIFICATE.test(code))
    return fail('STORE_UNAVAILABLE', `the server of ${place} cannot be trusted`, failure, {
      expected: 'TLS with a certificate of an authority that is known here',
      hint: HINTS.ca,
    })
  if (CONNECTION.test(code) || name === 'TimeoutError') return new Passing(words(failure))
  return error
}

const isBusy = (status = 0): boolean => status >= 500 || status === 408 || status === 429

function refused(place: string, failure: Failure): WorkspaceError {
  const { name, status } = failure
  if (FULL.includes(name))
    return fail('NO_SPACE', `${place} does not take more`, failure, { expected: 'room', hint: HINTS.full })
  if (OTHER_REGION.includes(name) || status === 301)
    return fail('STORE_UNAVAILABLE', `the bucket of ${place} is in another region`, failure, {
      expected: 'the region of the bucket',
      hint: HINTS.region,
    })
  if (DENIED.includes(name) || status === 401 || status === 403)
    return fail('STORE_DENIED', `${place} refuses these credentials`, failure, {
      expected: 'credentials that may list the bucket, and read and write below the prefix',
      hint: HINTS.denied,
    })
  if (name === 'NoSuchBucket')
    return fail('STORE_UNAVAILABLE', `there is no bucket for ${place}`, failure, {
      expected: 'a bucket that exists',
      hint: HINTS.bucket,
    })
  return fail('STORE_UNAVAILABLE', `${place} does not answer as S3 does`, failure, {
    expected: 'an S3-compatible server that takes this request',
    hint: HINTS.server,
  })
}

function fail(
  code: ErrorCode,
  message: string,
  failure: Failure,
  details: { expected: string; hint: string },
): WorkspaceError {
  return new WorkspaceError(code, message, { ...details, found: words(failure) })
}

function examine(error: Error): Failure {
  const { code, errors, $metadata, $response } = error as Error & {
    code?: unknown
    errors?: unknown[]
    $metadata?: { clockSkewCorrected?: boolean }
    $response?: { headers?: Record<string, string> }
  }
  // A failure to reach any of several addresses has them inside.
  const first = error.message === '' && errors?.[0] instanceof Error ? errors[0] : error
  return {
    name: error.name,
    message: first.message.replace(/^@smithy\/node-http-handler - /, ''),
    code: typeof code === 'string' ? code : '',
    status: statusOf(error),
    retryAfterMs: Number($response?.headers?.['retry-after'] ?? 0) * 1000 || 0,
    clockCorrected: $metadata?.clockSkewCorrected === true,
  }
}

function statusOf(error: unknown): number | undefined {
  const { $metadata, $response } = error as {
    $metadata?: { httpStatusCode?: number }
    $response?: { statusCode?: number }
  }
  return $metadata?.httpStatusCode ?? $response?.statusCode
}

/** `HTTP 503 SlowDown: Please reduce your request rate.` */
function words({ name, message, status }: Failure): string {
  if (status === undefined) return message
  return [`HTTP ${status}`, name].join(' ') + (message && message !== name ? `: ${message}` : '')
}
