import { ARTIFACT_CONFIGURATION } from '../../configuration.ts'
import { defineStep, param } from '../../contract.ts'
import { lines } from '../../schemas.ts'
import { CACHE_PARAMS, CACHE_WORKSPACES } from '../cache-params.ts'

export const contract = defineStep({
  name: 'cache-restore',
  version: '0.1',
  displayName: 'Restore a folder that an earlier run saved',
  summary: 'Restores what an earlier run saved under the same key, or the newest under a prefix of it.',
  description: `Looks for an entry of cache-save with exactly this \`key\`, and then, in their order, for the newest
whose key begins with one of \`restoreKeys\`. What it restores is checked byte by byte, and all of it is there or
nothing.

* A miss is no error: the result \`hit\` says \`none\`. An entry of which anything is missing or damaged is a miss, too,
  and the log says what.
* A run reads its own scope first, then \`fallbackScopes\`. By default the scope is the repository and branch that
  Pipelines-as-Code started the run for; a pull request has a scope of its own and reads the one of its target branch.
* Into a folder that exists only what is missing is written. Where it holds other content under one of the names,
  nothing is restored, and the log says where.

Scopes stop accidents, not attackers: whoever may run a pipeline on the volume can write any scope. Pipelines of people
that you don't trust need a claim of their own, or this one mounted with \`readOnly\`. See docs/cache.md.`,
  categories: ['Build Tools', 'Storage'],
  tags: ['cache', 'workspace', 'performance'],
  params: {
    path: param(
      CACHE_PARAMS.path.schema,
      "The folder to restore. A relative path is inside the workspace `source`, or inside the run's `workspace-content` where that is not bound.",
    ),
    key: CACHE_PARAMS.key,
    restoreKeys: param(
      lines,
      'What other keys may begin with, one per line, tried in this order. `{{hashFiles(…)}}` works here, too.',
      '',
    ),
    platform: CACHE_PARAMS.platform,
    scope: CACHE_PARAMS.scope,
    fallbackScopes: param(
      lines,
      'More scopes to read, one per line, such as `github.com/acme/shop#main`.',
      '',
    ),
    policy: CACHE_PARAMS.policy,
    strategy: CACHE_PARAMS.strategy,
  },
  results: {
    hit: { description: '`exact`, `partial` where a prefix matched, or `none`.' },
    key: {
      description:
        'The key with its hashes filled in. Give it to cache-save: the build may change the files that it is made of.',
    },
    'matched-key': { description: 'The key of what was restored. Only written for a hit.' },
    digest: { description: 'The digest of what was restored. Only written for a hit.' },
    files: { description: 'The number of files restored; 0 for a miss.' },
    bytes: { description: 'The bytes of these files.' },
    strategy: { description: 'Which store was used: `pvc`, `s3` or `coordinator`.' },
  },
  workspaces: CACHE_WORKSPACES,
  configuration: ARTIFACT_CONFIGURATION,
  change: true,
  errors: ['SOURCE_NOT_FOUND', 'UNSAFE_PATH', 'STORE_UNAVAILABLE', 'STORE_DENIED'],
  resources: { requests: { cpu: '50m', memory: '128Mi' }, limits: { cpu: '2', memory: '512Mi' } },
  sample: { path: 'npm-cache', key: 'npm-22', restoreKeys: 'npm-' },
})
