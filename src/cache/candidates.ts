/** What a restore may take, best first. */
import { inOrder } from '../artifacts/index.ts'
import type { Emit } from '../events.ts'
import type { ArtifactStore } from '../stores/store.ts'
import { keyPath, scopePath } from './path.ts'
import type { Scopes } from './scope.ts'
import { isDamage, newestOf } from './whole.ts'

export interface Candidate {
  scope: string
  key: string
  /** Whether it has the key that was asked for, and not only a prefix in common. */
  exact: boolean
}

export interface Wanted {
  key: string
  /** What other keys may begin with, in the order in which they are tried. */
  prefixes: readonly string[]
  scopes: Scopes
}

const LOOKS_AT_ONCE = 8

/**
 * First the key itself, in the run's own scope and then in the others: it says what the content is, whoever saved
 * it. Then for each prefix, in the same order of scopes, the keys that begin with it, the newest first.
 */
export async function* candidates(
  store: ArtifactStore,
  { key, prefixes, scopes }: Wanted,
  emit: Emit,
): AsyncGenerator<Candidate, void, void> {
  const all = [...new Set([scopes.own, ...scopes.fallbacks])]
  for (const scope of all) yield { scope, key, exact: true }
  for (const prefix of prefixes) {
    for (const scope of all) {
      const keys = (await store.names(scopePath(scope))).filter(
        (name) => name.startsWith(prefix) && name !== key,
      )
      for (const other of await newestFirst(store, scope, keys, emit))
        yield { scope, key: other, exact: false }
    }
  }
}

/** By when each was saved, as the clocks of their pods had it. */
async function newestFirst(
  store: ArtifactStore,
  scope: string,
  keys: readonly string[],
  emit: Emit,
): Promise<string[]> {
  const look = async (key: string): Promise<{ key: string; created: string | undefined }> => ({
    key,
    created: await createdAt(store, scope, key, emit),
  })
  const found: { key: string; created: string }[] = []
  for await (const { key, created } of inOrder(keys, LOOKS_AT_ONCE, look)) {
    if (created !== undefined) found.push({ key, created })
  }
  return found.sort((a, b) => (a.created > b.created ? -1 : 1)).map(({ key }) => key)
}

async function createdAt(
  store: ArtifactStore,
  scope: string,
  key: string,
  emit: Emit,
): Promise<string | undefined> {
  try {
    return (await newestOf(store, keyPath(scope, key)))?.created
  } catch (error) {
    if (!isDamage(error)) throw error
    emit({ event: 'cache-damaged', scope, key, why: error.message })
    return undefined
  }
}
