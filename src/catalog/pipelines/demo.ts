import { contract as artifactRetrieve } from '../../steps/artifact-retrieve/contract.ts'
import { contract as artifactStore } from '../../steps/artifact-store/contract.ts'
import { contract as lockAcquire } from '../../steps/lock-acquire/contract.ts'
import { contract as lockRelease } from '../../steps/lock-release/contract.ts'
import { contract as workspaceArchive } from '../../steps/workspace-archive/contract.ts'
import { contract as workspaceInit } from '../../steps/workspace-init/contract.ts'
import { catalogDescription, catalogMetadata } from '../metadata.ts'
import type { Settings } from '../settings.ts'
import type { Pipeline } from '../tekton/types.generated.ts'
import { BUILD, CHECK, FETCH, PACKAGE } from './scripts.ts'
import { SHARED, scriptStep, stepRef, STORED, taskRef, taskSpec } from './parts.ts'

export const DEMO = {
  name: 'shared-workspace-demo',
  version: '0.1',
  displayName: 'Shared workspace demo',
  categories: ['Storage', 'Build Tools'],
  tags: ['workspace', 'artifacts', 'lock', 'demo'],
  summary:
    'Builds source code on a shared volume: artifacts between tasks, a lock round publishing, an archive at the end.',
}

const RUN_PATH = '$(tasks.init.results.run-path)'
const content = `${SHARED}/$(params.runPath)/workspace-content`

export function demoPipeline({ image }: Settings): Pipeline {
  return {
    apiVersion: 'tekton.dev/v1',
    kind: 'Pipeline',
    metadata: catalogMetadata(DEMO),
    spec: {
      displayName: DEMO.displayName,
      description: catalogDescription(
        DEMO.summary,
        `\`init\` makes the run's folders, \`fetch\` brings the source, \`build\` builds it and stores the build,
\`check\` and \`package\` retrieve it side by side, \`publish\` puts the package into final-output under a lock,
and \`archive\` closes the run.`,
      ),
      params: [
        {
          name: 'source',
          type: 'string',
          description:
            "A folder or tarball that the tasks can read, such as one on the volume. Default: this project's own source, which the image brings.",
          default: '/opt/shared-workspace/source.tar.gz',
        },
        {
          name: 'image',
          type: 'string',
          description: "The image of the build's own steps: needs sh, tar and what buildCommand calls.",
          default: image,
        },
        {
          name: 'buildCommand',
          type: 'string',
          description:
            'A shell command, run in a copy of the source. Default: types are stripped from TypeScript, the rest is copied.',
          default: '',
        },
        {
          name: 'buildOutput',
          type: 'string',
          description: 'The folder that buildCommand leaves, relative to the source.',
          default: 'dist',
        },
        {
          name: 'checkCommand',
          type: 'string',
          description: 'A shell command, run in the build. Default: every file against SHA256SUMS.',
          default: '',
        },
        {
          name: 'lock',
          type: 'string',
          description: 'The lock that publishing runs under.',
          default: 'demo-publish',
        },
      ],
      workspaces: [{ name: 'shared', description: 'The shared volume.' }],
      tasks: [
        { name: 'init', ...taskRef(workspaceInit) },
        { name: 'fetch', ...fetch() },
        { name: 'build', runAfter: ['fetch'], ...build() },
        { name: 'check', ...check() },
        { name: 'package', ...pack() },
        { name: 'publish', runAfter: ['check'], ...publish() },
      ],
      finally: [{ name: 'archive', ...taskRef(workspaceArchive, { status: '$(tasks.status)' }) }],
      results: [
        {
          name: 'run-path',
          type: 'string',
          description: 'The folder of the run while it ran.',
          value: RUN_PATH,
        },
        {
          name: 'package',
          type: 'string',
          description: 'The package: uri@digest.',
          value: '$(tasks.package.results.artifact)',
        },
        {
          name: 'archive-path',
          type: 'string',
          description: 'Where the run is now.',
          value: '$(finally.archive.results.archive-path)',
        },
      ],
    },
  }
}

const fetch = () =>
  taskSpec({ image: '$(params.image)', runPath: RUN_PATH, source: '$(params.source)' }, [
    scriptStep('fetch', { CONTENT: content, SOURCE: '$(params.source)' }, FETCH),
  ])

const build = () =>
  taskSpec(
    {
      image: '$(params.image)',
      runPath: RUN_PATH,
      command: '$(params.buildCommand)',
      output: '$(params.buildOutput)',
    },
    [
      scriptStep(
        'build',
        { CONTENT: content, BUILD_COMMAND: '$(params.command)', BUILD_OUTPUT: '$(params.output)' },
        BUILD,
      ),
      stepRef('store', artifactStore, { path: '/workspace/build', output: 'build' }),
    ],
    STORED,
  )

const retrieveBuild = stepRef('retrieve', artifactRetrieve, {
  artifacts: ['$(params.artifact)'],
  path: '/workspace/build',
})

const check = () =>
  taskSpec(
    {
      image: '$(params.image)',
      artifact: '$(tasks.build.results.artifact)',
      command: '$(params.checkCommand)',
    },
    [retrieveBuild, scriptStep('check', { CHECK_COMMAND: '$(params.command)' }, CHECK)],
  )

const pack = () =>
  taskSpec(
    { image: '$(params.image)', artifact: '$(tasks.build.results.artifact)' },
    [
      retrieveBuild,
      scriptStep('package', {}, PACKAGE),
      stepRef('store', artifactStore, { path: '/workspace/package', output: 'package' }),
    ],
    STORED,
  )

const publish = () =>
  taskSpec({ lock: '$(params.lock)', runPath: RUN_PATH, artifact: '$(tasks.package.results.artifact)' }, [
    stepRef('lock', lockAcquire, { name: '$(params.lock)' }),
    stepRef('publish', artifactRetrieve, {
      artifacts: ['$(params.artifact)'],
      path: `${SHARED}/$(params.runPath)/final-output`,
    }),
    stepRef('unlock', lockRelease, { name: '$(params.lock)', epoch: '$(steps.lock.results.epoch)' }),
  ])
