/** Artifacts in S3, by the configuration of a namespace: without a volume, and with one to fall back to. */
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { API_ADDRESS } from '../../hack/cluster/native/layout.ts'
import { SERVICE_ACCOUNT } from '../../src/catalog/names.ts'
import { POD_TEMPLATE } from '../../src/catalog/sample.ts'
import { settingName, type ConfigurationName } from '../../src/configuration.ts'
import type { StepContract } from '../../src/contract.ts'
import { contract as artifactRetrieve } from '../../src/steps/artifact-retrieve/contract.ts'
import { contract as artifactStore } from '../../src/steps/artifact-store/contract.ts'
import { startS3, type S3Server } from '../integration/support/s3.ts'
import { create } from './support/cluster.ts'
import { makeNamespace, type TestNamespace } from './support/namespace.ts'
import { logOfRun, PATIENT, resultsOf, script, step, succeeded, taskSpec } from './support/runs.ts'

const NAMESPACE = 'e2e-strategies'

let space: TestNamespace
let s3: S3Server
let bucket: string
beforeAll(async () => {
  space = await makeNamespace(NAMESPACE)
  // Where pods reach this machine.
  s3 = await startS3({ host: API_ADDRESS })
  bucket = await s3.bucket()
  const settings: Partial<Record<ConfigurationName, string>> = {
    ARTIFACT_STRATEGY: 's3',
    ARTIFACT_S3_BUCKET: bucket,
    ARTIFACT_S3_PREFIX: 'ci/',
    ARTIFACT_S3_ENDPOINT: s3.endpoint,
  }
  const data = Object.entries(settings).map(([name, value]) => [
    settingName(name as ConfigurationName),
    value,
  ])
  const stringData = { 'access-key-id': s3.accessKey, 'secret-access-key': s3.secretKey }
  await create(
    NAMESPACE,
    {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: 'shared-workspace' },
      data: Object.fromEntries(data),
    },
    { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'shared-workspace-s3' }, stringData },
  )
})
afterAll(async () => {
  await s3?.stop()
  await space?.remove()
})

/** A step of the product that gets no volume. */
const alone = (name: string, contract: StepContract, params: Record<string, string | string[]>): object => ({
  name,
  ref: { name: contract.name },
  params: Object.entries(params).map(([key, value]) => ({ name: key, value })),
  computeResources: contract.resources,
})

const make = script('make', 'mkdir out && printf %s "made in $(hostname)" > out/file.txt')
const results = { artifact: 'store', strategy: 'store' }

describe.concurrent('the strategy of a namespace', PATIENT, () => {
  it('is s3: artifacts pass between pods that have no volume in common', async () => {
    const store = alone('store', artifactStore, { path: '/workspace/out', output: 'out' })
    const retrieve = alone('retrieve', artifactRetrieve, {
      artifacts: ['$(params.artifact)'],
      path: '/workspace/in',
    })
    const show = script('show', 'echo "got: $(cat in/file.txt)"')
    const { workspaces: _, ...producer } = taskSpec({ steps: [make, store], results }) as {
      workspaces: unknown
    }
    const parts = { steps: [retrieve, show], params: { artifact: '' } }
    const { workspaces: __, ...consumer } = taskSpec(parts) as { workspaces: unknown }
    const artifact = '$(tasks.produce.results.artifact)'
    const spec = {
      workspaces: [],
      pipelineSpec: {
        tasks: [
          { name: 'produce', taskSpec: producer },
          { name: 'consume', params: [{ name: 'artifact', value: artifact }], taskSpec: consumer },
        ],
        results: [
          { name: 'artifact', value: artifact },
          { name: 'strategy', value: '$(tasks.produce.results.strategy)' },
        ],
      },
    }
    const run = await succeeded(space, await space.start('PipelineRun', spec))
    const log = await logOfRun(NAMESPACE, run.metadata.name)
    expect(log).toMatch(/got: made in /)
    expect(log).not.toContain(s3.secretKey)
    expect(resultsOf(run)).toMatchObject({
      strategy: 's3',
      artifact: expect.stringMatching(
        new RegExp(`^s3://${bucket}/ci/${run.metadata.uid}/produce/out@sha256:[0-9a-f]{64}$`),
      ),
    })
    expect(readdirSync(join(s3.folderOf(bucket), 'ci/store/blobs/sha256')).length).toBeGreaterThan(2)
    expect(existsSync(join(space.volume, 'artifacts', run.metadata.uid))).toBe(false)
  })

  const strategyOf = async (
    params: Record<string, string>,
    env: Partial<Record<ConfigurationName, string>>,
  ) => {
    const store = step('store', artifactStore, { path: '/workspace/out', output: 'out', ...params })
    const given = Object.entries(env).map(([name, value]) => ({
      name: settingName(name as ConfigurationName),
      value,
    }))
    const { run, log, exitCode } = await space.runTask({
      serviceAccountName: SERVICE_ACCOUNT,
      podTemplate: { ...POD_TEMPLATE, env: given },
      taskSpec: taskSpec({ steps: [make, store], results }),
    })
    expect(exitCode, log).toBe(0)
    return { strategy: resultsOf(run)['strategy'], log }
  }

  it('gives way to the environment of the pod, and that to the parameter of the step', async () => {
    const env = { ARTIFACT_STRATEGY: 'pvc' }
    expect(await strategyOf({}, env)).toMatchObject({ strategy: 'pvc' })
    expect(await strategyOf({ strategy: 's3' }, env)).toMatchObject({ strategy: 's3' })
  })

  it('falls back where that was declared, and says so', async () => {
    // Nothing listens there.
    const env = { ARTIFACT_S3_ENDPOINT: `http://${API_ADDRESS}:9` }
    const { strategy, log } = await strategyOf({ strategy: 's3,pvc' }, env)
    expect(strategy).toBe('pvc')
    expect(log).toMatch(/falling back from s3 to pvc: STORE_UNAVAILABLE/)
  })
})
