import { ARTIFACT_CONFIGURATION, strategies } from '../../configuration.ts'
import { defineStep, param } from '../../contract.ts'
import { fence, flag, name, orNone, requiredText } from '../../schemas.ts'

export const contract = defineStep({
  name: 'artifact-store',
  version: '0.1',
  displayName: 'Store an artifact on the shared workspace',
  summary:
    'Stores a folder or file under the name of an output, with a digest that later tasks can insist on.',
  description: `Stores \`path\` as \`<task>/<output>\` of this run: all of it, or nothing. Modes, empty folders,
symlinks and every UTF-8 name survive. Content that is there already, from whichever run, takes no space again.

* Storing the same content a second time changes nothing, and files that have not changed since are not read again.
* A retry of the task replaces what the failed attempt stored, until somebody has retrieved it. Otherwise other
  content under the same name is an error, unless \`overwrite\` is \`true\`.
* Symlinks that lead out of \`path\`, setuid files, devices, sockets and fifos are refused, and so is a file that
  somebody writes to meanwhile.

Hand the result \`artifact\` to artifact-retrieve. On the volume the artifact is an OCI image layout, so
\`crane push\` and \`oras\` read it as it is.`,
  categories: ['Storage'],
  tags: ['artifacts', 'workspace', 'oci', 'provenance'],
  params: {
    path: param(
      requiredText,
      "What to store. A relative path is inside the workspace `source`, or inside the run's `workspace-content` where that is not bound. A file is stored under its own name.",
    ),
    output: param(name, 'The name of the artifact among the outputs of this task.'),
    overwrite: param(
      flag,
      '`true` replaces other content of the same name, even if it has been retrieved.',
      'false',
    ),
    fence: param(
      fence,
      'The lock under which it is stored, `<lock>@<epoch>` with the epoch of an exclusive hold. Once the hold was taken over, storing is `STALE_LOCK`, and nobody sees what comes late. From then on the output takes nothing without a later fence. Needs the workspace `shared` and one strategy. Empty: none.',
      '',
    ),
    strategy: param(
      orNone(strategies),
      'Where to store it: `pvc`, `s3` or `coordinator`; several, separated by commas, are tried in this order. Empty for what the namespace is configured for, which is `pvc` where nothing is.',
      '',
    ),
  },
  results: {
    ARTIFACT_OUTPUTS: {
      description: 'The artifact in the form that Tekton Chains records.',
      properties: ['uri', 'digest'],
    },
    artifact: { description: 'The artifact, pinned: `<uri>@<digest>`. Give this to artifact-retrieve.' },
    size: { description: 'The bytes of its files.' },
    files: { description: 'The number of its files.' },
    strategy: { description: 'Where it is: `pvc`, `s3` or `coordinator`.' },
  },
  workspaces: {
    shared: {
      description: 'The shared volume. Not needed for other strategies than `pvc` without a fence.',
      optional: true,
    },
    source: { description: 'What relative paths are relative to.', optional: true, readOnly: true },
  },
  configuration: [...ARTIFACT_CONFIGURATION, 'LOCK_BACKEND'],
  errors: [
    'SOURCE_NOT_FOUND',
    'SOURCE_CHANGED',
    'ARTIFACT_EXISTS',
    'STALE_LOCK',
    'UNSAFE_PATH',
    'UNSUPPORTED_FILE',
    'STORE_UNAVAILABLE',
    'STORE_DENIED',
  ],
  resources: { requests: { cpu: '50m', memory: '128Mi' }, limits: { cpu: '2', memory: '512Mi' } },
  sample: { path: 'dist', output: 'build' },
})
