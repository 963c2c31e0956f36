import { afterAll, beforeAll } from 'vitest'
import { artifactStoreContract } from '../stores/contract.ts'
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
