/** Keys: a text with hashes of files in it. */
import { WorkspaceError } from '../errors.ts'
import { platformName } from '../platform/host.ts'
import { hashFiles } from './hash-files.ts'

const GLOB = `(?:'[^']*'|"[^"]*")`
/** As GitHub's expressions have it. Tekton replaces nothing in double braces; Pipelines-as-Code only what it knows. */
const HASH_FILES = new RegExp(
  `\\{\\{\\s*hashFiles\\(\\s*(${GLOB}(?:\\s*,\\s*${GLOB})*)\\s*\\)\\s*\\}\\}`,
  'g',
)

/**
 * Fills in `{{hashFiles('glob', …)}}`. `base` says where the files are; it is asked only where there are hashes.
 * @throws WorkspaceError USAGE for other expressions, and as `hashFiles`
 */
export async function renderKey(template: string, base: () => string): Promise<string> {
  const parts: string[] = []
  let end = 0
  for (const match of template.matchAll(HASH_FILES)) {
    const globs = [...match[1]!.matchAll(new RegExp(GLOB, 'g'))].map(([quoted]) => quoted.slice(1, -1))
    parts.push(template.slice(end, match.index), await hashFiles(base(), globs))
    end = match.index + match[0].length
  }
  const key = parts.join('') + template.slice(end)
  if (!/\{\{|\}\}/.test(key)) return key
  throw new WorkspaceError(
    'USAGE',
    `the key ${JSON.stringify(template)} has an expression that is not known`,
    {
      expected: "{{hashFiles('**/package-lock.json')}}, or several globs separated by commas",
      found: key,
      hint: 'hashFiles is the only expression; other values come by $(params.<name>)',
    },
  )
}

/** The key or prefix under which content that fits only this kind of machine is kept. */
export const forPlatform = (key: string): string => `${platformName()}-${key}`
