/**
 * A real S3 server for tests: versitygw over a temporary folder, where a bucket is a folder and an object a file.
 *
 * What it does, seen with 1.8.0: `If-None-Match: *` holds for PutObject and CompleteMultipartUpload (412), with
 * exactly one winner of 100 at once. ETags are md5s, of a multipart object `<hex>-<parts>`. A wrong Content-MD5 or
 * x-amz-checksum-sha256 is 400 BadDigest. Ranges work, 416 where an object is empty or shorter. A put that is cut off
 * becomes visible as it is unless its request said a checksum ahead. An object's key can't be a folder of another's
 * (409). An unknown access key is 404, a wrong secret 403.
 */
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { execa } from 'execa'
import { programPath } from '../../../hack/programs/programs.ts'
import { startServer } from './server.ts'

export interface S3Server {
  /** `http://<host>:<port>`, or https; buckets are addressed by path. */
  endpoint: string
  accessKey: string
  secretKey: string
  region: string
  /** With `tls`: the certificate of the server's own authority, PEM, as a file. */
  caFile?: string
  /** Makes a bucket and returns its name. */
  bucket(): Promise<string>
  /** The folder that holds a bucket's objects as files. */
  folderOf(bucket: string): string
  stop(): Promise<void>
}

/** Starts a server of its own; `stop` leaves nothing of it. */
export async function startS3({ tls = false, host = '127.0.0.1' } = {}): Promise<S3Server> {
  const folder = await mkdtemp(join(tmpdir(), 'shared-workspace-s3-'))
  const root = join(folder, 'buckets')
  await mkdir(root)
  const [accessKey, secretKey, region] = ['test-access', 'test-secret-key', 'us-east-1']
  const certificates = tls ? await makeCertificates(folder) : undefined
  const options = ['--region', region, '--quiet', '--keep-alive']
  if (certificates) options.push('--cert', certificates.cert, '--key', certificates.key)
  const server = await startServer(
    programPath('versitygw'),
    (address) => ['--port', address, ...options, 'posix', root],
    { ROOT_ACCESS_KEY: accessKey, ROOT_SECRET_KEY: secretKey },
    host,
  )
  let buckets = 0
  return {
    endpoint: `${tls ? 'https' : 'http'}://${server.address}`,
    accessKey,
    secretKey,
    region,
    ...(certificates && { caFile: certificates.ca }),
    bucket: async () => {
      const name = `bucket-${++buckets}`
      await mkdir(join(root, name))
      return name
    },
    folderOf: (bucket) => join(root, bucket),
    stop: async () => {
      await server.stop()
      await rm(folder, { recursive: true, force: true })
    },
  }
}

/** An authority that nobody trusts yet, and a certificate of it for 127.0.0.1, valid for a day. */
async function makeCertificates(folder: string): Promise<{ ca: string; cert: string; key: string }> {
  const file = (name: string) => join(folder, name)
  const openssl = (...args: string[]) => execa('openssl', args)
  const request = [
    'req',
    '-x509',
    '-newkey',
    'ec',
    '-pkeyopt',
    'ec_paramgen_curve:P-256',
    '-noenc',
    '-days',
    '1',
  ]
  await openssl(...request, '-subj', '/CN=test authority', '-keyout', file('ca.key'), '-out', file('ca.pem'))
  const issued = ['-CA', file('ca.pem'), '-CAkey', file('ca.key'), '-subj', '/CN=127.0.0.1']
  const names = ['-addext', 'subjectAltName=IP:127.0.0.1', '-addext', 'basicConstraints=critical,CA:FALSE']
  await openssl(...request, ...issued, ...names, '-keyout', file('key.pem'), '-out', file('cert.pem'))
  return { ca: file('ca.pem'), cert: file('cert.pem'), key: file('key.pem') }
}
