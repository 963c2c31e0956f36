/** Puts so many MiB into a coordinator and gets them back, as a process whose memory can be looked at. */
import { createHash, randomBytes } from 'node:crypto'
import { peakOf } from './peak.ts'
import { coordinatorArtifacts } from '../../src/stores/coordinator/coordinator-artifacts.ts'

const [url, mebibytes] = process.argv.slice(2) as [string, string]
const { blobs } = coordinatorArtifacts({
  url,
  token: 'a-token-for-the-tests-0123456789',
  ca: '',
  emit: () => {},
})

async function* content(): AsyncGenerator<Buffer> {
  for (let i = 0; i < Number(mebibytes); i++) yield randomBytes(1024 * 1024)
}

const peakMiB = (): number => peakOf('self')
const idleMiB = peakMiB()
const began = performance.now()
const { digest } = await blobs.put(content())
const put = performance.now()
const hash = createHash('sha256')
for await (const chunk of blobs.get(digest)) hash.update(chunk)
const got = performance.now()
const rate = (ms: number): number => Math.round(Number(mebibytes) / (ms / 1000))
const same = `sha256:${hash.digest('hex')}` === digest
console.log(
  JSON.stringify({
    same,
    idleMiB,
    peakMiB: peakMiB(),
    putMiBs: rate(put - began),
    getMiBs: rate(got - put),
  }),
)
