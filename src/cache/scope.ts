/** Scopes: who shares cache entries with whom. */
import { sha256 } from '../platform/hash.ts'
import type { Change } from '../change.ts'
import { WorkspaceError } from '../errors.ts'

export interface Scopes {
  /** The scope that is written, and read first. */
  own: string
  /** Scopes that are read only, in this order. */
  fallbacks: readonly string[]
}

/** Of runs about which nothing is known. */
const DEFAULT_SCOPE = 'default'

/**
 * The scopes of a run: as its parameters say, else by repository and branch. A pull request reads the scope of the
 * branch that it wants to be merged into, and writes only its own.
 */
export function scopesOf(
  change: Change | undefined,
  given: { scope: string; fallbackScopes: readonly string[] },
): Scopes {
  if (given.scope) return { own: given.scope, fallbacks: given.fallbackScopes }
  if (!change) return { own: DEFAULT_SCOPE, fallbacks: given.fallbackScopes }
  const { repository, branch, pullRequest } = change
  // A repository has no "#" in it, so that no branch, whatever its name, has the scope of a pull request.
  const ofBranch = `${repository}#${branch}`
  if (pullRequest === undefined) return { own: ofBranch, fallbacks: given.fallbackScopes }
  return { own: `${repository}!${pullRequest}`, fallbacks: [ofBranch, ...given.fallbackScopes] }
}

const MAX_LENGTH = 128

/**
 * The folder of a scope: what cannot stand in a name is written as `_` and two hexadecimal digits for each of its
 * bytes. A name that would be too long ends in `__` and a hash. Different scopes have different folders.
 * @throws WorkspaceError USAGE for a scope that begins with neither letter nor digit
 */
export function scopeFolder(scope: string): string {
  if (!/^[A-Za-z0-9]/.test(scope)) {
    throw new WorkspaceError('USAGE', `${JSON.stringify(scope)} cannot be a scope`, {
      expected: 'a letter or digit at its beginning, such as github.com/acme/shop#main',
      found: JSON.stringify(scope),
      hint: 'choose another scope',
    })
  }
  const escape = (character: string): string => Buffer.from(character).toString('hex').replace(/../g, '_$&')
  const name = scope.replace(/[^A-Za-z0-9.-]/gu, escape)
  if (name.length <= MAX_LENGTH) return name
  const hash = sha256(scope).slice(0, 32)
  return `${name.slice(0, MAX_LENGTH - 34)}__${hash}`
}
