import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { makeNamespace, type TestNamespace } from './support/namespace.ts'

let space: TestNamespace
beforeAll(async () => {
  space = await makeNamespace('e2e-steps')
})
afterAll(() => space?.remove())

describe('a TaskRun without a PipelineRun', () => {
  it('is a run of its own', async () => {
    const { run, log, exitCode } = await space.runTask({ taskRef: { name: 'workspace-init' } })
    expect(exitCode, log).toBe(0)
    const results = Object.fromEntries(run.status.results!.map((result) => [result.name, result.value]))
    expect(results['run-id']).toBe(run.metadata.uid)
    expect(results['run-path']).toBe(`pipelines/${run.metadata.uid}`)
  })
})
