import { ARTIFACT_CONFIGURATION } from '../../configuration.ts'
import { defineStep, param } from '../../contract.ts'
import { bytes } from '../../schemas.ts'
import { CACHE_PARAMS, CACHE_WORKSPACES } from '../cache-params.ts'

export const contract = defineStep({
  name: 'cache-save',
  version: '0.1',
  displayName: 'Save a folder for later runs',
  summary: 'Saves a folder under a key, for cache-restore in later runs.',
  description: `Saves \`path\` under \`key\` in the scope of this run: all of it, or nothing. What a key stands for never
changes: where it has an entry already, of which everything is there, nothing happens.

* A folder without files is never saved, and neither is one that is larger than \`maxSize\`.
* Content that the store has already, of whichever key or artifact, takes no space again.
* On the volume the least recently used entries of all scopes go until the rest fits \`maxSize\`. Other stores than
  \`pvc\` keep no such limit.
* An entry that nobody restored for 3 days goes with the next maintenance of the volume.

Scopes stop accidents, not attackers: see cache-restore.`,
  categories: ['Build Tools', 'Storage'],
  tags: ['cache', 'workspace', 'performance'],
  params: {
    path: param(
      CACHE_PARAMS.path.schema,
      "The folder to save. A relative path is inside the workspace `source`, or inside the run's `workspace-content` where that is not bound.",
    ),
    key: CACHE_PARAMS.key,
    platform: CACHE_PARAMS.platform,
    scope: CACHE_PARAMS.scope,
    maxSize: param(bytes, 'What the whole cache may take on the volume, all scopes together.', '10Gi'),
    policy: CACHE_PARAMS.policy,
    strategy: CACHE_PARAMS.strategy,
  },
  results: {
    saved: { description: '`true` or `false`; the log says why not.' },
    key: { description: 'The key with its hashes filled in.' },
    digest: { description: 'The digest of what was saved. Only written where something was.' },
    files: { description: 'The number of files saved.' },
    bytes: { description: 'The bytes of these files.' },
    strategy: { description: 'Which store was used: `pvc`, `s3` or `coordinator`.' },
  },
  workspaces: CACHE_WORKSPACES,
  configuration: ARTIFACT_CONFIGURATION,
  change: true,
  errors: [
    'SOURCE_NOT_FOUND',
    'SOURCE_CHANGED',
    'UNSAFE_PATH',
    'UNSUPPORTED_FILE',
    'DIGEST_MISMATCH',
    'STORE_UNAVAILABLE',
    'STORE_DENIED',
  ],
  resources: { requests: { cpu: '50m', memory: '128Mi' }, limits: { cpu: '2', memory: '512Mi' } },
  sample: { path: 'npm-cache', key: 'npm-22' },
})
