/** Every key in the bucket. Nothing else in the product joins one by hand. */
import { checkName } from '../../volume/layout.ts'
import { checkDigest } from '../digest.ts'
import type { Digest, EntryPath } from '../store.ts'

export type Keys = ReturnType<typeof keysUnder>

/** The keys below a prefix, laid out as the shared volume is. Names are checked where they become keys. */
export function keysUnder(prefix: string) {
  const below = (path: EntryPath): string =>
    [
      prefix + checkName(path[0] ?? '', 'name'),
      ...path.slice(1).map((name) => checkName(name, 'name')),
      '',
    ].join('/')
  return {
    blob: (digest: Digest) => `${prefix}store/blobs/sha256/${checkDigest(digest).slice('sha256:'.length)}`,
    /** Where content waits that has no digest yet. */
    upload: (id: string) => `${prefix}store/uploads/${id}`,
    /** What the keys of everything below a path begin with. */
    below,
    entry: (path: EntryPath, entry: string) => `${below(path)}${checkName(entry, 'entry')}/index.json`,
    /** Below it, an object for each uid. Names of runs may be longer than names on the volume. */
    run: (namespace: string, name: string) =>
      `${prefix}by-name/${encodeURIComponent(namespace)}.${encodeURIComponent(name)}/`,
    /** Tells whether the server honours conditions. */
    exclusive: `${prefix}.shared-workspace/exclusive`,
  }
}

/** A prefix as keys begin with it: empty, or names with a slash after each. @throws WorkspaceError UNSAFE_PATH */
export function checkPrefix(given: string): string {
  const folders = given.replace(/^\/|\/$/g, '')
  if (folders === '') return ''
  return folders
    .split('/')
    .map((folder) => `${checkName(folder, 'prefix')}/`)
    .join('')
}
