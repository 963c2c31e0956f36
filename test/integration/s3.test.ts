import { createServer, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, expect, onTestFinished, test, vi } from 'vitest'
import { digestOf } from '../../src/stores/digest.ts'
import { artifactStoreContract, chunksOf, readAll } from '../stores/contract.ts'
import { startS3, type S3Server } from './support/s3.ts'
import { newStore } from './support/s3-store.ts'

let server: S3Server
beforeAll(async () => {
  server = await startS3()
})
afterAll(() => server.stop())

artifactStoreContract('a bucket', async () => {
  const { store } = await newStore(server)
  return { store, nameRun: (run) => store.nameRun(run) }
})

artifactStoreContract('a prefix in a bucket', async () => {
  const { store } = await newStore(server, { prefix: 'ci/artifacts' })
  return { store, nameRun: (run) => store.nameRun(run) }
})

test('a server is reached through the proxy that the environment names', async () => {
  const asked: string[] = []
  const proxy = createServer((incoming, answer) => {
    asked.push(`${incoming.method} ${incoming.url}`)
    const { method, headers } = incoming
    const onward = request(incoming.url!, { method, headers }, (found) => {
      answer.writeHead(found.statusCode!, found.headers)
      found.pipe(answer)
    })
    incoming.pipe(onward)
  })
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    vi.unstubAllEnvs()
    proxy.closeAllConnections()
    proxy.close()
  })
  vi.stubEnv('HTTP_PROXY', `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`)
  vi.stubEnv('NO_PROXY', '')
  const { store } = await newStore(server)
  await store.blobs.put(chunksOf('content'))
  expect((await readAll(store.blobs, digestOf(Buffer.from('content')))).toString()).toBe('content')
  expect(asked).toContainEqual(expect.stringMatching(/^PUT http:/))
  expect(asked).toContainEqual(expect.stringMatching(/^GET http:/))
})
