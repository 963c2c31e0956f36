/** Caches on a volume for the tests. */
import { join } from 'node:path'
import { readdir } from 'node:fs/promises'
import { restoreCache, saveCache, type RestoreRequest, type SaveRequest } from '../../src/cache/index.ts'
import { keyPath } from '../../src/cache/path.ts'
import { volumeArtifacts } from '../../src/stores/volume-artifacts.ts'
import type { Volume } from '../../src/volume/volume.ts'
import { identity } from '../artifacts/support.ts'

export { collect, makeTree, newFolder, newVolume, readTree, temporaries } from '../artifacts/support.ts'

const never = new AbortController().signal

/** Saves under the key "key" of the scope "main", unless told otherwise. */
export const save = (volume: Volume, source: string, more: Partial<SaveRequest> = {}) =>
  saveCache({
    store: volumeArtifacts(volume),
    layout: volume.layout,
    scope: 'main',
    key: 'key',
    source,
    maxBytes: Number.MAX_SAFE_INTEGER,
    identity: identity(),
    emit: () => {},
    signal: never,
    ...more,
  })

/** Restores the key "key" of the scope "main", unless told otherwise. */
export const restore = (volume: Volume, target: string, more: Partial<RestoreRequest> = {}) =>
  restoreCache({
    store: volumeArtifacts(volume),
    key: 'key',
    prefixes: [],
    scopes: { own: 'main', fallbacks: [] },
    target,
    emit: () => {},
    signal: never,
    ...more,
  })

/** The folder of a key. */
export const keyFolder = (volume: Volume, key = 'key', scope = 'main'): string =>
  volume.layout.entries(keyPath(scope, key))

export const blobsOf = async (volume: Volume): Promise<string[]> => {
  const folder = join(volume.layout.blobs, 'sha256')
  return (await readdir(folder)).map((name) => join(folder, name))
}
