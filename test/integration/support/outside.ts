/**
 * A process outside of any cluster that uses the library: configured by its environment alone, it stores or
 * retrieves build/out of run-1 and prints what came of it as one JSON line.
 * Usage: node outside.ts store|retrieve FOLDER
 */
import { retrieveArtifacts, storeArtifact } from '../../../src/artifacts/index.ts'
import { readConfiguration } from '../../../src/configuration.ts'
import { storesOf } from '../../../src/stores/open.ts'
import type { Identity } from '../../../src/identity.ts'

function identity(task: string, pod: string): Identity {
  const owner = (kind: 'PipelineRun' | 'TaskRun', name: string) => ({
    kind,
    namespace: 'ns',
    name,
    uid: `uid-${name}`,
  })
  return {
    run: owner('PipelineRun', 'run-1'),
    taskRun: owner('TaskRun', `run-1-${task}`),
    task,
    pod: { name: pod, uid: `uid-${pod}` },
    node: 'outside',
  }
}

const [verb, folder = ''] = process.argv.slice(2)
const configuration = readConfiguration(process.env, (problem) => {
  throw new Error(problem)
})
const emit = (): void => {}
const common = { emit, signal: new AbortController().signal }
const stores = storesOf({
  ...common,
  strategies: configuration.ARTIFACT_STRATEGY,
  configuration,
  volumePath: undefined,
  initialise: false,
})
const result =
  verb === 'store'
    ? await storeArtifact({
        ...common,
        stores,
        identity: identity('build', process.env['POD'] ?? 'pod-1'),
        source: folder,
        output: 'out',
        overwrite: false,
      })
    : await retrieveArtifacts({
        ...common,
        stores,
        identity: identity('use', 'pod-2'),
        target: folder,
        artifacts: ['build/out'],
        run: '',
        files: [],
        strip: 0,
        conflicts: 'fail',
        optional: false,
      })
const { maxRSS } = process.resourceUsage()
console.log(JSON.stringify({ ...result, peakMiB: Math.round(maxRSS / 1024) }))
