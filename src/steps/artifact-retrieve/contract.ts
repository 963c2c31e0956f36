import { CONFLICTS } from '../../artifacts/conflicts.ts'
import { ARTIFACT_CONFIGURATION, strategies } from '../../configuration.ts'
import { arrayParam, defineStep, param } from '../../contract.ts'
import { count, flag, globs, oneOf, orNone, requiredText, text } from '../../schemas.ts'

export const contract = defineStep({
  name: 'artifact-retrieve',
  version: '0.1',
  displayName: 'Retrieve artifacts from the shared workspace',
  summary: 'Writes one or more artifacts into a folder, with every byte checked against their digests.',
  description: `Writes the files of artifacts that artifact-store stored into \`path\`. If anything is not what its
digest says, the step fails and \`path\` stays as it was.

* A folder that does not exist appears all at once. In one that exists, nothing is ever replaced: a name that holds
  other content is an error, found before anything is written. A call that was killed is completed by the next one
  into the same folder.
* Several artifacts become one folder; two that hold other content at one path are an error, unless \`conflicts\`
  says which of them wins.
* The path \`-\` prints the one file that is wanted, and writes nothing; the log then goes to stderr.
* Once retrieved, an artifact is no longer replaced by a retry of its task.

An artifact is named by the result \`artifact\` of artifact-store, which pins its digest, or by \`<task>/<output>\`,
which means the newest, and the log says which that was.`,
  categories: ['Storage'],
  tags: ['artifacts', 'workspace', 'oci', 'provenance'],
  params: {
    artifacts: arrayParam(
      requiredText,
      'What to retrieve: `<task>/<output>` or `workspace://<volume-id>/<run-id>/<task>/<output>`, each optionally pinned by `@sha256:…`.',
    ),
    path: param(
      requiredText,
      "The folder to write into. A relative path is inside the workspace `target`, or inside the run's `workspace-content` where that is not bound. `-` prints one file.",
    ),
    files: param(
      globs,
      'Only files whose path in the artifact matches one of these globs, one per line or separated by commas, such as `bin/**, **/*.jar`. Empty for all.',
      '',
    ),
    strip: param(
      count,
      'How many names are taken off the front of each path in the artifact, as tar does with --strip-components.',
      '0',
    ),
    conflicts: param(
      oneOf(CONFLICTS),
      'What happens where several artifacts hold other content at one path: `fail`, or the `first` or `last` of them in the order given wins. What is in the folder already is never replaced.',
      'fail',
    ),
    run: param(
      text,
      'The run that `<task>/<output>` is of: a run id, the name of a run, or `<namespace>.<name>`. Empty for this run.',
      '',
    ),
    optional: param(
      flag,
      '`true` skips artifacts that were not stored, such as those of a skipped task.',
      'false',
    ),
    strategy: param(
      orNone(strategies),
      'Where to look: `pvc`, `s3` or `coordinator`, or several, separated by commas. Empty for what the namespace is configured for, which is `pvc` where nothing is.',
      '',
    ),
  },
  results: {
    ARTIFACT_INPUTS: {
      description:
        'The artifact in the form that Tekton Chains records. Only written where exactly one was retrieved.',
      properties: ['uri', 'digest'],
    },
    files: { description: 'The number of files retrieved; 0 where everything was optional and missing.' },
    strategy: { description: 'Where it was: `pvc`, `s3` or `coordinator`; several, separated by commas.' },
  },
  workspaces: {
    shared: { description: 'The shared volume. Not needed for other strategies than `pvc`.', optional: true },
    target: { description: 'What relative paths are relative to.', optional: true },
  },
  configuration: ARTIFACT_CONFIGURATION,
  errors: [
    'ARTIFACT_NOT_FOUND',
    'DIGEST_MISMATCH',
    'TARGET_CONFLICT',
    'UNSAFE_PATH',
    'RUN_NOT_FOUND',
    'STORE_UNAVAILABLE',
    'STORE_DENIED',
  ],
  resources: { requests: { cpu: '50m', memory: '128Mi' }, limits: { cpu: '2', memory: '512Mi' } },
  sample: { artifacts: ['build/build'], path: 'from-build' },
})
