/** What cache-restore and cache-save have in common: both must mean the same by a key. */
import { strategies } from '../configuration.ts'
import { param } from '../contract.ts'
import { flag, oneOf, orNone, requiredText, text } from '../schemas.ts'

export const CACHE_PARAMS = {
  path: { schema: requiredText },
  key: param(
    requiredText,
    "The key, such as `npm-{{hashFiles('**/package-lock.json')}}`: letters, digits, `.`, `_` and `-`, with hashes of the names and contents of the files that globs match in the workspace `source`.",
  ),
  platform: param(
    flag,
    '`true` keeps the entries of each operating system and processor apart; `false` for content that is the same on all.',
    'true',
  ),
  scope: param(
    text,
    'Who shares entries. Empty for the repository and branch, or pull request, that Pipelines-as-Code started the run for; for `default` where it did not.',
    '',
  ),
  policy: param(
    oneOf(['read-write', 'read', 'write']),
    '`read` restores only, `write` saves only. One parameter of a pipeline can so be given to both steps.',
    'read-write',
  ),
  strategy: param(
    orNone(strategies),
    'Where it is kept: `pvc`, `s3` or `coordinator`; of several, separated by commas, the first that can be reached. Empty for what the namespace is configured for, which is `pvc` where nothing is.',
    '',
  ),
}

export const CACHE_WORKSPACES = {
  shared: { description: 'The shared volume. Not needed for other strategies than `pvc`.', optional: true },
  source: {
    description: 'The sources: what hashes are made of, and what relative paths are relative to.',
    optional: true,
  },
} as const
